"""`mcmfh replay`: an answer is reproduced from its receipt, ties included, or what changed is said."""

import json
from pathlib import Path

import pytest
from support.served_archive import pictured
from support.snapshot_rows import publish_rows, rows
from typer.testing import CliRunner

from mcmfh.archive.images import Limits
from mcmfh.cli import app
from mcmfh.errors import InputError
from mcmfh.search.query import validated
from mcmfh.search.replay import read_receipt, replay
from mcmfh.search.retrieval import Retrieval
from mcmfh.snapshots.gc import collect, find_garbage
from mcmfh.snapshots.publish import rollback
from mcmfh.store import documents, files

ASKED = [
    {"code": "0305", "modality": "image"},
    {"code": "0305", "modality": "report", "target": "study", "k": 50},
    {"code": "0305", "modality": "image", "target": "report", "k": 7, "where": {"modality": ["CT", None]}},
    {"code": "0305", "modality": "image", "max_distance": 3, "histogram": True},
    {"report": "clear lungs", "k": 3},
    {"report": "clear lungs", "k": 20, "rerank": 16},
    {"report": "clear lungs", "k": 20, "focus": "heart"},
    {"report": "clear lungs", "where": {"year": {"min": 2005}}, "target": "report", "rerank": 16},
]


def answer(archive: str, fields: dict, number: int | None = None) -> dict:
    # Through JSON, as a client gets it.
    return json.loads(json.dumps(Retrieval(archive, Limits(), number).answer(validated(fields))))


@pytest.fixture
def saved(tmp_path):
    def save(value: object) -> Path:
        path = tmp_path / "receipt.json"
        path.write_text(json.dumps(value, indent=2))
        return path

    return save


@pytest.mark.parametrize("fields", ASKED)
def test_every_answer_is_reproduced(fields, archive, saved, tmp_path):
    given = answer(archive, fields)
    assert replay(archive, *read_receipt(saved(given))).same
    assert replay(archive, *read_receipt(saved(given["receipt"]))).same
    publish_rows(archive, pictured(rows([f"i{n}" for n in range(30, 90)], seed=5, version="2"), tmp_path))
    assert replay(archive, *read_receipt(saved(given))).same, "the older snapshot is kept"


def test_a_query_of_both_modalities_is_reproduced(archive, saved, tmp_path):
    picture = (tmp_path / "picture.png").read_bytes()
    given = answer(archive, {"report": "clear lungs", "image": picture, "k": 30})
    assert len(given["receipt"]["code"]) == 2
    assert replay(archive, *read_receipt(saved(given["receipt"]))).same


def test_a_receipt_holds_neither_items_nor_reports(archive):
    given = answer(archive, {"report": "a secret finding"})
    text = json.dumps(given["receipt"])
    assert "secret" not in text
    assert not [hit for hit in given["hits"] if hit["item_id"] in text and len(hit["item_id"]) > 2]
    fields = {name: value for name, value in given["receipt"].items() if name != "digest"}
    assert given["receipt"]["digest"] == files.digest(fields)


@pytest.mark.parametrize(
    ("name", "value"), [("k", 9), ("snapshot", 2), ("hits", "0" * 64), ("where", {"year": 1}), ("digest", "1" * 64)]
)
def test_a_changed_receipt_is_refused(name, value, archive, saved):
    receipt = answer(archive, ASKED[0])["receipt"]
    with pytest.raises(InputError, match="was changed after it was written"):
        read_receipt(saved({**receipt, name: value}))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"receipt": 3}', '{"receipt": {"digest": 1}}', "nonsense"])
def test_what_is_no_receipt_is_refused(content, tmp_path):
    path = tmp_path / "receipt.json"
    with pytest.raises(InputError, match="does not exist"):
        read_receipt(path)
    path.write_text(content)
    with pytest.raises(InputError, match=r"is not JSON|holds no receipt"):
        read_receipt(path)


def test_a_hit_more_or_less_is_noticed(archive, saved):
    given = answer(archive, ASKED[0])
    receipt, item_ids = read_receipt(saved(given))
    fields = {**receipt, "hits": files.digest([["x", 0, None]])}
    changed = replay(archive, fields, ["x", *item_ids[1:]])
    assert not changed.same
    assert changed.sentences[1] == "1 hits are gone, 1 are new, 0 have another rank"


def run(path: Path, archive: str) -> tuple[int, str]:
    store, _, name = archive.rpartition("/archives/")
    result = CliRunner().invoke(app, ["replay", str(path), f"store={store}", f"archive.name={name}"])
    return result.exit_code, result.stdout


def test_the_command_says_what_has_changed(archive, models, saved, tmp_path):
    path = saved(answer(archive, {**ASKED[0], "k": 60}))
    assert run(path, archive) == (0, run(path, archive)[1])
    assert run(path, archive)[1].startswith("reproduced: the same ")
    gone = [f"i{n}" for n in range(10, 20)]
    publish_rows(archive, rows(["i99"]), listed=["i99"], known=["i99", *gone], model=models[0])
    collect(find_garbage(archive, keep=1, grace_seconds=-1))
    code, said = run(path, archive)
    assert code == 1
    assert said.startswith("snapshot 1 ")
    assert "is no longer kept" in said
    assert "the newest snapshot, 2, has other hits" in said
    publish_rows(archive, rows(["i99"]), model=models[1])
    collect(find_garbage(archive, keep=1, grace_seconds=-1))
    assert "the model has changed from" in run(path, archive)[1]


def test_a_snapshot_published_anew_is_not_the_same(archive, saved):
    """A rollback has another parent, and so another digest; the receipt says that its hits are the same."""
    path = saved(answer(archive, ASKED[0]))
    rollback(archive, 1)
    collect(find_garbage(archive, keep=1, grace_seconds=-1))
    code, said = run(path, archive)
    assert code == 1
    assert "the newest snapshot, 2, has the same 10 hits" in said


FORGED = [
    *({"k": 10**9}, {"k": 0}, {"code": {"image": "zz"}}, {"code": {}}, {"code": ["0305"]}, {"code": {"sound": "0305"}}),
    *({"target": "patient"}, {"where": [1]}, {"rerank": 16}, {"rerank": 16, "logits": {"image": "00"}}),
    *({"logits": {"image": "00000000"}}, {"snapshot_digest": None}, {"bits": "many"}),
]


@pytest.mark.parametrize("fields", FORGED)
def test_a_forged_receipt_is_one_sentence(fields, archive, saved):
    """Its digest is right, as anybody can compute it."""
    given = answer(archive, ASKED[0])["receipt"]
    given.pop("digest")
    forged = json.loads(documents.sealed({**given, **fields}))
    with pytest.raises(InputError, match="no receipt that the endpoint gave"):
        read_receipt(saved(forged))


@pytest.mark.parametrize("hits", [[1], {"a": 1}, "hits", [{"item_id": 5}], [{}]])
def test_hits_of_another_shape_are_one_sentence(hits, archive, saved):
    with pytest.raises(InputError, match="no receipt that the endpoint gave"):
        read_receipt(saved({**answer(archive, ASKED[0]), "hits": hits}))


def test_a_receipt_that_cannot_be_read_is_one_sentence(tmp_path):
    (tmp_path / "nested").write_text("[" * 100_000)
    for path in (tmp_path, tmp_path / "nested" / "inner", tmp_path / "nested"):
        with pytest.raises(InputError, match="receipt"):
            read_receipt(path)
