"""Training from table to bundle, alone and on Ray: reproducible, resumable, and it learns what was planted."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.planted import SPEC, planted_table, small
from support.training_kills import kill_a_worker_after, killed_at_step

from mcmfh.errors import InputError
from mcmfh.hamming import hamming_distances
from mcmfh.hashing import fitting, load_bundle
from mcmfh.training.mcmfh import train


@pytest.fixture(scope="module")
def table():
    return planted_table()


def topic_precision(uri, table):
    """Share of the 10 nearest test reports of each test image that have its topic."""
    test = table.of_split("test")
    codes = load_bundle(uri).hash_embeddings(test.image, test.report)
    nearest = hamming_distances(codes["image"][:, None], codes["report"]).argsort(1, kind="stable")[:, :5]
    return (test.labels[nearest] & test.labels[:, None]).any(2).mean()


@pytest.mark.parametrize(
    "name",
    ["default", "paper", "missing token", "supervised", "ensemble", "itq", "closed form", "supervised closed form"],
)
def test_every_recipe_learns_the_planted_topics(name, table, tmp_path):
    settings = small(name)
    if settings.method == "mcmfh":
        settings = small(name, epochs=25, learning_rate=3e-3)
    found = train(table, settings, SPEC, str(tmp_path), "run")
    assert topic_precision(found.bundle_uri, table) > 0.6  # chance is one in six


@pytest.mark.parametrize("recipe", ["paper", "closed form", "supervised closed form"])
def test_the_same_seed_gives_the_same_bundle_and_another_seed_does_not(recipe, table, tmp_path):
    first, again = (train(table, small(recipe), SPEC, str(tmp_path / name), "run") for name in "ab")
    other = train(table, small(recipe, seed=1), SPEC, str(tmp_path / "c"), "run")
    assert first.bundle_digest == again.bundle_digest
    assert first.code_digest != other.code_digest


@pytest.mark.parametrize("name", ["default", "paper"])
def test_a_killed_run_goes_on_to_the_same_codes(name, table, tmp_path, monkeypatch):
    undisturbed = train(table, small(name), SPEC, str(tmp_path / "a"), "run")
    with killed_at_step(monkeypatch, fitting, 8):  # in the third epoch
        train(table, small(name), SPEC, str(tmp_path / "b"), "run")
    assert train(table, small(name), SPEC, str(tmp_path / "b"), "run").code_digest == undisturbed.code_digest


def test_a_run_name_does_not_mix_settings_or_data(table, tmp_path):
    train(table, small("default", epochs=1), SPEC, str(tmp_path), "run")
    with pytest.raises(InputError, match="another run name"):
        train(table, small("default", epochs=1, balance=0.2), SPEC, str(tmp_path), "run")
    with pytest.raises(InputError, match="another run name"):
        train(planted_table(seed=1), small("default", epochs=1), SPEC, str(tmp_path), "run")


def test_test_items_and_their_labels_change_nothing(table, tmp_path):
    rng = np.random.default_rng(0)
    hidden = table.split == "test"
    image = np.where(hidden[:, None], rng.standard_normal(table.image.shape), table.image).astype(np.float32)
    changed = replace(table, image=image, labels=np.where(hidden[:, None], False, table.labels))
    first, second = (
        train(each, small("default"), SPEC, str(tmp_path / name), "run")
        for each, name in ((table, "a"), (changed, "b"))
    )
    assert first.bundle_digest == second.bundle_digest


def test_labels_change_no_unsupervised_code(table, tmp_path):
    bare = replace(table, labels=table.labels[:, :0], label_names=())
    first = train(table, small("default"), SPEC, str(tmp_path / "a"), "run")
    second = train(bare, small("default"), SPEC, str(tmp_path / "b"), "run")
    assert first.code_digest == second.code_digest
    assert load_bundle(second.bundle_uri).calibration["16"]["meaning"] == "same study"


@pytest.mark.parametrize(
    ("change", "more", "reason"),
    [
        (lambda t: t.select(t.split != "train"), {}, "0 train items"),
        (lambda t: replace(t, labels=t.labels[:, :0], label_names=()), {"supervised": True}, "no labels"),
        (lambda t: t, {"supervised": True, "labels": ("organ:",)}, "organ:"),
        (lambda t: replace(t, image=np.where(np.arange(48) == 3, np.inf, t.image)), {}, "item-0"),
    ],
)
def test_unusable_tables_are_refused_with_the_remedy(change, more, reason, table, tmp_path):
    with pytest.raises(InputError, match=reason):
        train(change(table), small("default", **more), SPEC, str(tmp_path), "run")


def test_an_archive_without_validation_items_still_trains(table, tmp_path):
    found = train(table.select(table.split != "validation"), small("default"), SPEC, str(tmp_path), "run")
    assert load_bundle(found.bundle_uri).calibration == {}


def test_scalars_are_written_for_tensorboard(table, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    done = train(table, small("paper", log_dir=str(tmp_path / "log")), SPEC, str(tmp_path / "store"), "run")
    assert [sum(layer) for layer in done.metrics["expert_load"]] == [pytest.approx(1, abs=1e-5)] * 2
    events = EventAccumulator(str(tmp_path / "log"))
    events.Reload()
    tags = events.Tags()["scalars"]
    wanted = {"loss/hash", "loss/fusion", "loss/gating", "validation/R@10/16", "validation/mAP/16"}
    assert wanted | {"experts/layer1/load3", "bits/mean_bias/16", "time/step"} <= set(tags)
    assert len(events.Scalars("loss/hash")) == 4


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the worker in /proc")
@pytest.mark.slow
def test_on_ray_a_killed_worker_resumes_to_the_same_codes(cluster, table, tmp_path):
    settings = small("paper", workers=2, epochs=40)
    undisturbed = train(table, settings, SPEC, str(tmp_path / "a"), "run")
    with ThreadPoolExecutor(1) as pool:
        killer = pool.submit(kill_a_worker_after, tmp_path / "b" / "training" / "run" / "epoch-000002")
        disturbed = train(table, settings, SPEC, str(tmp_path / "b"), "run")
        killer.result()
    assert disturbed.code_digest == undisturbed.code_digest
    assert topic_precision(disturbed.bundle_uri, table) > 0.6


@pytest.mark.slow
def test_on_ray_every_network_of_an_ensemble_is_a_run_of_its_own(cluster, table, tmp_path):
    settings = small("ensemble", workers=2, epochs=25, learning_rate=3e-3)
    found = train(table, settings, SPEC, str(tmp_path), "run")
    assert {"run", "run-0", "run-1"} <= {path.name for path in (tmp_path / "training").iterdir()}
    assert topic_precision(found.bundle_uri, table) > 0.6
