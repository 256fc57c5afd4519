"""train.towers=tuned: towers trained towards a guide, the archive embedded by them, a model trained on that."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from support.drawn_pairs import draw

from mcmfh.config import Config, load_config
from mcmfh.errors import InputError
from mcmfh.hashing import load_bundle
from mcmfh.pipeline.archive import open_manifest, read_archive
from mcmfh.pipeline.embed import embed_archive
from mcmfh.pipeline.encoder import with_tuned_towers
from mcmfh.pipeline.evaluate import evaluate_archive
from mcmfh.pipeline.guidance import Guide
from mcmfh.pipeline.hash import hash_archive
from mcmfh.pipeline.pretrain import pose
from mcmfh.pipeline.towers import TUNED, tune_towers, tuning
from mcmfh.pipeline.train import train_archive
from mcmfh.pretraining.settings import PretrainSettings
from mcmfh.training.mcr import GUIDE

LIST = "level\tdark\nlevel\tgrey\nlevel\tbright\nside\tleft\nside\tright\nside\ttop\nside\tbottom\n"
SPLITS = ("train", "train", "train", "validation", "test")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    """80 pairs, of which the first picture cannot be read; 48 are to train on."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "own.tsv").write_text(LIST)
    lines = ["item_id,image_uri,report,split,labels"]
    for i, (picture, report) in enumerate(zip(*draw(80))):
        Image.fromarray(picture).save(folder / f"{i}.png")
        label = next(level for level in ("dark", "grey", "bright") if f"is {level}" in report)
        lines.append(f"item-{i},{i}.png,{report},{SPLITS[i % 5]},level:{label}")
    (folder / "0.png").write_bytes(b"no picture")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder / "manifest.csv"


def configured(manifest: Path, store: Path, *given: str) -> Config:
    options = [
        f"archive.manifest={manifest}",
        f"store={store}",
        "train.towers=tuned",
        "train.method=itq",
        f"train.concepts={manifest.parent / 'own.tsv'}",
        "pretrain.image_size=64",
        "pretrain.batch_size=16",
        "pretrain.epochs=2",
        "pretrain.min_steps=1",
    ]
    return load_config([*options, *given], read_default=False)


def test_tuning_takes_the_place_of_defaults_alone():
    assert tuning(PretrainSettings()) == PretrainSettings(**TUNED)
    own = tuning(PretrainSettings(epochs=5, embedding=64, image_mask=0.3))
    assert own == PretrainSettings(**{**TUNED, "epochs": 5, "embedding": 64, "image_mask": 0.3})


def test_a_guide_stands_beside_the_pairs_that_have_one():
    guide = Guide(np.array(["b", "a"]), np.array([[1, 2], [3, 4]], np.float32), "")
    found = guide.beside(pa.table({"item_id": ["a", "c", "b"]}), GUIDE)
    assert found.to_pylist() == [{"item_id": "a", GUIDE: [3, 4]}, {"item_id": "b", GUIDE: [1, 2]}]


def test_another_encoder_is_refused(manifest, tmp_path):
    config = configured(manifest, tmp_path, "encoder.name=biomedclip")
    with pytest.raises(InputError, match="to packaged, or train"):
        tune_towers(config, read_archive(config.archive))


@pytest.mark.parametrize("workers", [2, pytest.param(0, marks=pytest.mark.slow)])
def test_one_setting_tunes_embeds_trains_hashes_and_evaluates(cluster, manifest, tmp_path, workers):
    config = configured(manifest, tmp_path, f"pretrain.workers={workers}")
    archive, listed = read_archive(config.archive), open_manifest(config.archive)
    with pytest.raises(InputError, match="embed"):
        tune_towers(config, archive)
    embed_archive(config, listed)
    frozen = config.model_copy(update={"train": config.train.model_copy(update={"towers": "frozen"})})
    model = train_archive(frozen, archive).bundle
    for stage in (with_tuned_towers, lambda c: evaluate_archive(c, archive, model), lambda c: hash_archive(c, listed)):
        with pytest.raises(InputError, match=r"hash\.bundle=latest names was trained on encoder packaged, not on"):
            stage(config)
    tuned, done = tune_towers(config, archive)
    assert (tuned.encoder.name, tuned.encoder.source, done.reused) == ("mcr", done.source, False)
    more = config.train.model_copy(update={"bits": (16, 32), "method": "mcmfh"})
    assert tune_towers(config.model_copy(update={"train": more}), archive)[1].reused, "its guide is the same"
    problem = pose(config.model_copy(update={"pretrain": tuning(config.pretrain)}), archive)
    assert problem.train.num_rows == 47, "the pair whose picture cannot be read has no guide"
    np.testing.assert_allclose(np.linalg.norm(np.array(problem.train[GUIDE].to_pylist()), axis=1), 1, atol=1e-5)
    embed_archive(tuned, listed)
    trained = train_archive(tuned, archive)
    assert load_bundle(trained.bundle).encoder_source == done.source
    published = hash_archive(config, listed)  # whose encoder is still the packaged one
    assert (published.items, published.failed) == (79, 1)
    assert evaluate_archive(config, archive, trained.bundle).evaluations[0].bits == 16
    with pytest.raises(InputError, match="another encoder"):
        evaluate_archive(frozen, archive, trained.bundle)
    with pytest.raises(InputError, match=f"encoder.name=mcr encoder.source={done.source}"):
        hash_archive(frozen, listed)
    assert with_tuned_towers(config).encoder.source == done.source
    assert with_tuned_towers(frozen) == frozen


def test_labels_guide_where_labels_train(cluster, manifest, tmp_path):
    config = configured(manifest, tmp_path, "train.supervised=true", "train.method=mcmfh", "pretrain.targets=graded")
    embed_archive(config, open_manifest(config.archive))
    train = pose(config, read_archive(config.archive)).train
    level = [next(word for word in report.split() if word in LIST) for report in train["report"].to_pylist()]
    rows = np.array(train[GUIDE].to_pylist())
    assert ((rows @ rows.T > 0.99) == (np.array(level)[:, None] == level)).all()
