"""Fitting a lexicon reads the training reports alone, and whom it saw may not be asked about."""

import csv

import pytest
from support.dual_encoders import write_open_clip

from mcmfh.config import load_config
from mcmfh.embeddings.seen import Seen
from mcmfh.encoders import encoder_spec
from mcmfh.encoders.fitted import fitted_to
from mcmfh.encoders.lexicon import load_lexicon, open_lexicon
from mcmfh.errors import InputError
from mcmfh.pipeline.archive import read_archive
from mcmfh.pipeline.leak_check import leak_lines
from mcmfh.pipeline.lexicon import make_lexicon

CLIP = {
    "model_cfg": {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 64, "layers": 1, "width": 32, "head_width": 16, "patch_size": 32},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
}
WORDS = ["effusion", "nodule", "fracture", "oedema", "cardiomegaly", "tube"]


def write(folder, sides, extra="") -> str:
    with (folder / "manifest.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["item_id", "report", "group", "split"])
        for i, side in enumerate(sides):
            word = WORDS[i % len(WORDS)] if side == "train" else f"secret{'x' * (i % 3)}"
            table.writerow([f"i{i}", f"{word} {WORDS[i // 3 % len(WORDS)]} patient {'z' * i} {extra}", f"p{i}", side])
    return str(folder / "manifest.csv")


@pytest.fixture
def config(tmp_path):
    write_open_clip(tmp_path / "clip", CLIP)
    sides = ["train"] * 30 + ["validation"] * 6 + ["test"] * 9
    given = [f"archive.manifest={write(tmp_path, sides)}", f"store={tmp_path / 'store'}"]
    given += ["encoder.name=open_clip", f"encoder.source={tmp_path / 'clip'}"]
    return load_config(given, read_default=False)


def test_words_of_training_reports_alone(config):
    uri = make_lexicon(config, read_archive(config.archive), 4)
    lexicon = load_lexicon(open_lexicon(uri))
    assert sorted(lexicon.terms) == sorted([*WORDS, "patient"])
    assert uri.startswith(f"file://{config.store}/encoders/")
    assert make_lexicon(config, read_archive(config.archive), 4) == uri
    assert encoder_spec("lexical", "cpu", uri).report_width == 28


def test_it_moves_with_its_store_and_says_whom_it_saw(config, tmp_path):
    uri = make_lexicon(config, read_archive(config.archive), 4)
    (tmp_path / "store").rename(tmp_path / "moved")
    moved = uri.replace("/store/", "/moved/")
    ((name, record),) = fitted_to(moved)
    assert "lexicon" in name
    seen = Seen.from_json(record)
    ids = read_archive(config.archive).items
    people = seen.people("archive", *(ids[column].to_numpy(zero_copy_only=False) for column in ("group", "study_id")))
    assert people.sum() == 30


def test_a_leak_check_knows_a_lexicon(config, tmp_path):
    uri = make_lexicon(config, read_archive(config.archive), 4)
    write(tmp_path, ["test"] * 10 + ["train"] * 30)
    lines, leaking = leak_lines(config, [uri])
    assert leaking == 10
    assert "the lexicon at" in "\n".join(lines)


def test_a_lexicon_stands_beside_no_lexicon(config):
    uri = make_lexicon(config, read_archive(config.archive), 4)
    encoder = config.encoder.model_copy(update={"name": "lexical", "source": uri})
    with pytest.raises(InputError, match="has a lexicon already"):
        make_lexicon(config.model_copy(update={"encoder": encoder}), read_archive(config.archive), 4)
