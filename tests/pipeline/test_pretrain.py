"""Pretraining from a manifest to an encoder, alone and on Ray: reproducible, resumable, found when it is finished."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image
from support.drawn_pairs import SMALL, draw
from support.training_kills import Killed, kill_a_worker_after, killed_at_step

from mcmfh.config import Config, load_config
from mcmfh.encoders import load_encoder
from mcmfh.errors import InputError
from mcmfh.pipeline import pretrain as pretraining
from mcmfh.pipeline.archive import open_manifest, read_archive
from mcmfh.pretraining import fitting
from mcmfh.search.query import Query
from mcmfh.search.retrieval import Retrieval
from mcmfh.store import files


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    """80 pairs, 64 of them to train on; one picture cannot be read, one report has no picture."""
    folder = tmp_path_factory.mktemp("archive")
    pixels, reports = draw(80)
    lines = ["item_id,image_uri,report,split"]
    for i, (picture, report) in enumerate(zip(pixels, reports)):
        Image.fromarray(picture).save(folder / f"{i}.png")
        lines.append(f"item-{i},{i}.png,{report},{'validation' if i % 5 == 4 else 'train'}")
    (folder / "0.png").write_bytes(b"no picture")
    lines.append("item-80,,A report alone.,train")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder / "manifest.csv"


def configured(manifest, store, **more) -> Config:
    settings = {**SMALL, "epochs": 4, "batch_size": 16, "workers": 0, **more}
    given = [f"pretrain.{name}={value}" for name, value in settings.items()]
    return load_config([f"archive.manifest={manifest}", f"store={store}", *given], read_default=False)


def pretrain(manifest, store, **more) -> pretraining.Pretrained:
    config = configured(manifest, store, **more)
    return pretraining.pretrain_archive(config, read_archive(config.archive))


def name(done: pretraining.Pretrained) -> str:
    return done.source.rpartition("/")[2]


@pytest.fixture(scope="module")
def undisturbed(manifest, tmp_path_factory) -> pretraining.Pretrained:
    return pretrain(manifest, tmp_path_factory.mktemp("store"))


def test_an_archive_becomes_an_encoder(undisturbed):
    assert load_encoder("mcr", "cpu", undisturbed.source).encode_reports(["bright at the left"]).shape == (1, 32)
    assert undisturbed.metrics["pairs"] == 16
    assert set(undisturbed.metrics["recall"]) == {"image_to_report", "report_to_image", "chance"}
    folder = files.join(files.parent(files.parent(undisturbed.source)), "pretraining")
    assert {n.split(".", 1)[1] for n in files.names(folder) if "." in n} == {
        "epochs",
        "json",
        "vocab.txt",
        "attention.png",
        "reconstruction.png",
    }


def test_a_finished_run_is_reused_and_nothing_is_written(manifest, tmp_path):
    first = pretrain(manifest, tmp_path, epochs=1)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    again = pretrain(manifest, tmp_path, epochs=1)
    assert again.reused
    assert not first.reused
    assert again.source == first.source
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == written


def test_a_killed_run_goes_on_to_the_same_towers(manifest, undisturbed, tmp_path, monkeypatch):
    with killed_at_step(monkeypatch, fitting, 8):  # in the third epoch
        pretrain(manifest, tmp_path)
    assert name(pretrain(manifest, tmp_path)) == name(undisturbed)


def test_too_few_pairs_and_lost_files_are_named(manifest, tmp_path):
    few = tmp_path / "few.csv"
    few.write_text("item_id,image_uri,report,split\na,a.png,text,train\n")
    with pytest.raises(InputError, match="1 train items have image and report"):
        pretrain(few, tmp_path)
    with pytest.raises(InputError, match=r"pretrain\.vocabulary"):
        pretrain(manifest, tmp_path, vocabulary=str(tmp_path / "none.txt"))


def test_rows_of_the_comparison():
    from mcmfh.pipeline.compare_pretraining import pretraining_rows

    rows = pretraining_rows(load_config(["pretrain.epochs=30"], read_default=False).pretrain, dual_cost=2.5)
    assert len(set(rows.values())) == len(rows), "every row differs"
    assert rows["dual-stream, equal wall time"].epochs == 12
    assert rows["dual-stream, equal epochs"].epochs == 30


@pytest.mark.parametrize(
    ("tower", "masked"),
    [
        ("null", "masked-only"),
        ("vit_tiny_patch32_224", "masked-only"),
        ("packaged_pixels", "masked-only"),
        ("packaged", "masked in feature space"),
    ],
)
def test_a_row_is_called_masked_only_where_nothing_saw_the_hidden_cells(tower, masked):
    from mcmfh.pipeline.compare_pretraining import pretraining_rows

    settings = load_config([f"pretrain.image_tower={tower}", "pretrain.patch=32"], read_default=False).pretrain
    names = [name for name in pretraining_rows(settings, dual_cost=2.0) if not name.startswith("dual-stream")]
    assert len(names) == 3
    assert {name.split(",")[0] for name in names} == {masked}


@pytest.mark.slow
def test_a_comparison_keeps_each_row_and_goes_on(cluster, manifest, tmp_path):
    from mcmfh.pipeline.compare_pretraining import compare_pretraining, pretrain_and_evaluate

    text = manifest.read_text().replace("validation", "test")
    (manifest.parent / "tested.csv").write_text(text)
    config = configured(manifest.parent / "tested.csv", tmp_path, epochs=1)
    config = config.model_copy(update={"evaluate": config.evaluate.model_copy(update={"seeds": 1})})
    archive = read_archive(config.archive)
    measured = []

    def killed_at_the_third(*arguments):
        measured.append(arguments[2])
        if len(measured) == 3:
            raise Killed
        return pretrain_and_evaluate(*arguments)

    with pytest.raises(Killed):
        compare_pretraining(config, archive, measure=killed_at_the_third)
    found = compare_pretraining(config, archive, measure=killed_at_the_third)
    assert len(measured) == 3 + 3, "two rows were kept"
    assert len(found.evaluations) == 5
    assert {s.measure for s in found.evaluations[0].scores} == {"R@1", "R@5", "R@10"}, "the archive has no labels"


@pytest.mark.slow
def test_packaged_towers_are_tuned_here_and_on_workers(cluster, manifest, tmp_path):
    packaged = {"image_tower": "packaged", "report_tower": "packaged", "patch": 32, "image_size": 64, "epochs": 1}
    for workers in (0, 2):
        done = pretrain(manifest, tmp_path / str(workers), workers=workers, **packaged)
        assert load_encoder("mcr", "cpu", done.source).encode_reports(["bright at the left"]).shape == (1, 32)
        assert done.metrics["pairs"] == 16


@pytest.mark.slow
def test_the_encoder_embeds_evaluates_hashes_and_serves_an_archive(cluster, manifest, undisturbed, tmp_path):
    from mcmfh.hashing import load_bundle
    from mcmfh.pipeline.embed import embed_archive
    from mcmfh.pipeline.evaluate import evaluate_encoder
    from mcmfh.pipeline.hash import hash_archive
    from mcmfh.pipeline.train import train_archive

    text = (manifest.parent / "manifest.csv").read_text().replace("validation", "test")
    (manifest.parent / "tested.csv").write_text(text)
    given = ["encoder.name=mcr", f"encoder.source={undisturbed.source}", "train.method=itq", f"store={tmp_path}"]
    config = load_config([f"archive.manifest={manifest.parent / 'tested.csv'}", *given], read_default=False)
    archive = read_archive(config.archive)
    assert embed_archive(config, open_manifest(config.archive)).encoded == 80
    assert {s.measure for s in evaluate_encoder(config, archive).evaluations[0].scores} == {"R@1", "R@5", "R@10"}
    trained = train_archive(config, archive)
    published = hash_archive(config, open_manifest(config.archive))
    assert (published.items, published.quarantined.num_rows, published.hashed) == (80, 1, 80)
    assert load_bundle(trained.bundle).hash_reports(["bright at the left"]).shape == (1, 2)
    # What serves: the encoder comes from the bundle alone, and a picture of the archive finds itself.
    served = Retrieval(published.root, config.archive.limits)
    picture = (manifest.parent / "7.png").read_bytes()
    hits = served.answer(Query(image=picture, target="image", k=80))["hits"]
    assert [hit["distance"] for hit in hits if hit["item_id"] == "item-7"] == [0]
    assert len(served.answer(Query(report="bright at the left", k=5))["hits"]) == 5


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the worker in /proc")
@pytest.mark.slow
def test_on_ray_a_killed_worker_resumes_to_the_same_towers(cluster, manifest, tmp_path):
    settings = {"workers": 2, "epochs": 8}
    undisturbed = pretrain(manifest, tmp_path / "a", **settings)
    with ThreadPoolExecutor(1) as pool:
        run = next((tmp_path / "a" / "pretraining").glob("*.json")).stem
        killer = pool.submit(kill_a_worker_after, tmp_path / "b" / "pretraining" / run / "epoch-000002")
        disturbed = pretrain(manifest, tmp_path / "b", **settings)
        killer.result()
    assert name(disturbed) == name(undisturbed)
    assert undisturbed.metrics["reconstruction"]["patches"] > 0
