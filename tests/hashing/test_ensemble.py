"""Networks that teach a network, and the method that an archive chooses: by what images show, and by no label."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.planted import SPEC, planted_table, small
from support.training_kills import killed_at_step

from mcmfh.hashing import fitting, load_bundle
from mcmfh.hashing.coder import Coder
from mcmfh.hashing.ensemble import members, taught_by
from mcmfh.hashing.mixes import ENSEMBLE
from mcmfh.hashing.preparation import prepare
from mcmfh.hashing.settings import TrainSettings
from mcmfh.training.mcmfh import train


def blind(table):
    """The table with images that show nothing."""
    noise = np.random.default_rng(5).standard_normal(table.image.shape).astype(np.float32)
    return replace(table, image=noise)


def models(problems):
    built = []
    for problem in problems:
        torch.manual_seed(problem.settings.seed)
        built.append(problem.first_model().eval())
    return built


def test_members_differ_in_seed_and_run_alone(table):
    prepared = prepare(table, small("default", ensemble=3))
    found = members(prepared)
    assert len({each.settings.seed for each in (prepared, *found)}) == 4
    assert len({each.fingerprint for each in (prepared, *found)}) == 4
    for each in found:
        assert each.rows is prepared.rows
        assert each.settings == prepared.settings.model_copy(update={"seed": each.settings.seed, "ensemble": 0})
    assert [each.settings.seed for each in members(prepared)] == [each.settings.seed for each in found]


def test_members_of_two_seeds_have_nothing_in_common(table):
    first, second = (members(prepare(table, small("default", ensemble=3, seed=seed))) for seed in (0, 1))
    assert not {each.settings.seed for each in first} & {each.settings.seed for each in second}


def test_the_guide_has_the_mean_cosine_of_the_members_shortest_codes(table):
    prepared = prepare(table, small("default", ensemble=2))
    networks = models(members(prepared))
    taught = taught_by(prepared, networks)
    mean = np.zeros((len(prepared.rows),) * 2)
    for network in networks:
        logits = Coder(network, prepared.shape).all_logits(prepared.image, prepared.report)
        for name in ("image", "report"):
            codes = np.tanh(logits[name][16].astype(np.float64))
            codes /= np.linalg.norm(codes, axis=1, keepdims=True)
            mean += codes @ codes.T / 4
    np.testing.assert_allclose(taught.guide @ taught.guide.T, mean, atol=1e-5)
    np.testing.assert_array_equal(taught.image, prepared.image)
    np.testing.assert_array_equal(taught.report, prepared.report)
    assert taught.widths == (*prepared.widths[:2], 2 * 2 * 16, 0)
    assert taught.teacher == f"2 networks by {prepared.teacher}"


def test_a_killed_member_goes_on_to_the_same_bundle(table, tmp_path, monkeypatch):
    settings = small("default", ensemble=2)
    undisturbed = train(table, settings, SPEC, str(tmp_path / "a"), "run")
    with killed_at_step(monkeypatch, fitting, 20):  # 12 steps a network: in the second member
        train(table, settings, SPEC, str(tmp_path / "b"), "run")
    assert train(table, settings, SPEC, str(tmp_path / "b"), "run").bundle_digest == undisturbed.bundle_digest
    alone = train(table, small("default"), SPEC, str(tmp_path / "c"), "run")
    assert alone.code_digest != undisturbed.code_digest
    assert load_bundle(undisturbed.bundle_uri).config["training"]["teacher"].startswith("2 networks by ")


def test_progress_runs_once_over_all_networks(table, tmp_path):
    told = []
    train(table, small("default", ensemble=2), SPEC, str(tmp_path), "run", lambda *step: told.append(step))
    assert told == sorted(told)
    assert told[-1] == (36, 36)  # 3 networks · 4 epochs · 3 steps


def test_scalars_are_those_of_the_network_that_is_kept(table, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = str(tmp_path / "log")
    train(table, small("default", ensemble=2, log_dir=log), SPEC, str(tmp_path / "store"), "run")
    events = EventAccumulator(log)
    events.Reload()
    assert len(events.Scalars("loss/hash")) == 4


@pytest.mark.parametrize(
    "more",
    [
        {"supervised": True},
        {"targets": "onehot"},
        {"method": "itq"},
        {"method": "closed_form"},
    ],
)
def test_what_an_ensemble_cannot_teach_is_refused(more):
    with pytest.raises(ValueError, match="ensemble teaches networks"):
        TrainSettings(ensemble=2, **more)


@pytest.mark.parametrize("more", [{"supervised": True}, {"targets": "onehot"}, {"mix": (0.5, 0.25, 0.25)}])
def test_the_automatic_method_is_refused_where_the_rest_is_chosen_by_hand(more):
    with pytest.raises(ValueError, match="method auto chooses without labels"):
        TrainSettings(method="auto", **more)


def test_the_archive_chooses_its_method_by_what_images_show(table):
    clear = prepare(table, small("default", method="auto", concepts=None))
    same = prepare(table, small("closed form"))
    assert (clear.settings.method, clear.settings.ensemble, clear.teacher) == ("closed_form", 0, same.teacher)
    np.testing.assert_array_equal(clear.guide, same.guide)

    vague = prepare(blind(table), small("default", method="auto", concepts=None))
    same = prepare(blind(table), small("default", ensemble=ENSEMBLE))
    assert (vague.settings.method, vague.settings.ensemble, vague.teacher) == ("mcmfh", ENSEMBLE, same.teacher)
    np.testing.assert_array_equal(vague.guide, same.guide)
    assert vague.agreement["fine"] < clear.agreement["fine"]
    assert prepare(blind(table), small("default", method="auto", concepts=None, ensemble=2)).settings.ensemble == 2


def test_with_tuned_towers_it_is_the_network(table):
    settings = small("default", method="auto", towers="tuned")
    found, same = prepare(table, settings), prepare(table, small("default"))
    assert not settings.reads_concepts
    assert (found.settings.method, found.settings.ensemble, found.teacher) == ("mcmfh", 0, same.teacher)
    np.testing.assert_array_equal(found.guide, same.guide)


@pytest.mark.parametrize("images", [lambda table: table, blind])
def test_neither_labels_nor_test_items_choose_the_method(images, tmp_path):
    table = images(planted_table(seed=3))
    hidden = table.split == "test"
    report = np.where(hidden[:, None], table.report[::-1], table.report)
    changed = replace(table, labels=~table.labels, report=report)
    settings = small("default", method="auto", concepts=None, ensemble=1)
    found = [train(each, settings, SPEC, str(tmp_path / str(i)), "run") for i, each in enumerate((table, changed))]
    assert found[0].code_digest == found[1].code_digest
