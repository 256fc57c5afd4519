"""Lists of concepts: the one that ships, and a user's own."""

import hashlib
from importlib.resources import files as package_files

import numpy as np
import pytest

from mcmfh.embeddings.concepts import MESH, Concepts, Phrase, mentions, read_concepts, without_labels
from mcmfh.errors import InputError


def test_the_shipped_list_is_the_one_that_was_frozen_before_it_was_measured():
    raw = (package_files("mcmfh.embeddings") / "concepts_mesh2017.tsv").read_bytes()
    assert hashlib.sha256(raw).hexdigest() == "6b22349d070a8cc9f27da1ca4c281a30e539578043d726156829c0459e58537b"
    assert b"Medical Subject Headings (MeSH), U.S. National Library of Medicine, 2017" in raw
    phrases = read_concepts(MESH)
    assert {phrase.family for phrase in phrases} == {"anatomy", "disease"}
    assert len(phrases) > 1000


def test_a_list_of_ones_own(tmp_path):
    path = tmp_path / "own.tsv"
    path.write_text("# mine\norgan\tlung\n\norgan\tliver\nfinding\tmass\nfinding\tcyst\nfinding\tmass\n")
    phrases = read_concepts(str(path))
    assert [(each.family, each.text) for each in phrases] == [
        ("organ", "lung"),
        ("organ", "liver"),
        ("finding", "mass"),
        ("finding", "cyst"),
    ]
    concepts = Concepts(phrases, np.arange(8, dtype=np.float32).reshape(4, 2))
    assert [each.tolist() for each in concepts.by_families(np.array([[1, 2, 3, 4]]))] == [[[1, 2]], [[3, 4]]]


@pytest.mark.parametrize("reports", [1, 3, 2500])
def test_a_report_mentions_a_phrase_as_clearly_as_its_clearest_clause(reports):
    rng = np.random.default_rng(reports)
    counts = rng.integers(1, 5, reports).tolist()
    clauses, phrases = rng.standard_normal((sum(counts), 6)), rng.standard_normal((7, 6))
    found = mentions(clauses, counts, phrases)
    assert found.dtype == np.float32
    start = 0
    for row, count in zip(found, counts):
        own = clauses[start : start + count]
        best = [max(c @ p / np.linalg.norm(c) / np.linalg.norm(p) for c in own) for p in phrases]
        np.testing.assert_allclose(row, best, atol=1e-6)
        start += count


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lung\n", "line 1 .* 'lung'"),
        ("organ\tlung\nfinding\tmass\n", "family 'organ' .* 1 phrase"),
        ("# nothing\n", "empty"),
        ("organ\t\n", "line 1"),
    ],
)
def test_a_faulty_list_is_refused_with_its_line(tmp_path, text, message):
    path = tmp_path / "own.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_concepts(str(path))


def test_a_list_that_is_missing_or_not_text_is_refused(tmp_path):
    with pytest.raises(InputError, match="no list of concepts"):
        read_concepts(str(tmp_path / "none.tsv"))
    (tmp_path / "binary.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        read_concepts(str(tmp_path / "binary.tsv"))


def test_phrases_that_equal_a_label_are_dropped():
    phrases = [Phrase("disease", name) for name in ("pleural effusion", "bone fractures", "fracture", "pneumothorax")]
    left = without_labels(phrases, ["finding:pleural_effusion", "finding:fractures", "region:chest"])
    assert [phrase.text for phrase in left] == ["bone fractures", "pneumothorax"]


def test_the_digest_changes_with_phrases_and_vectors():
    phrases = (Phrase("a", "x"), Phrase("a", "y"))
    vectors = np.zeros((2, 3), np.float32)
    digests = {
        Concepts(phrases, vectors).digest,
        Concepts(phrases[::-1], vectors).digest,
        Concepts(phrases, vectors + 1).digest,
    }
    assert len(digests) == 3
