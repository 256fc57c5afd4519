"""Every baseline: what its codes may depend on, that they know something, and that noise knows nothing."""

from dataclasses import replace

import numpy as np
import pytest
from support.planted import planted_table

from mcmfh.errors import InputError
from mcmfh.evaluation import evaluate, permutation_null
from mcmfh.evaluation.average_precision import mean_average_precision
from mcmfh.hashing.baselines import BASELINES, make_baseline
from mcmfh.hashing.baselines.ucmfh import Ucmfh, UcmfhSketch

HASHES = [name for name in BASELINES if "cosine" not in name]


@pytest.fixture(scope="module")
def table():
    return planted_table(400)


@pytest.fixture(scope="module")
def fitted(table):
    """Every baseline at 16 bits, UCMFH at a size for tests."""
    made = {name: make_baseline(name) for name in BASELINES} | {
        "ucmfh": Ucmfh(width=32, epochs=60, batch=64),
        "ucmfh, own sketch": UcmfhSketch(width=32, epochs=40, batch=64),
    }
    return {name: baseline.fit(table.of_split("train"), 16, seed=0) for name, baseline in made.items()}


def noisy(table):
    """The same items with images that are pure noise."""
    noise = np.random.default_rng(7).standard_normal(table.image.shape)
    return replace(table, image=(noise * table.image.std(0) + table.image.mean(0)).astype(np.float32))


def null_of(query, database, table, side):
    """(score, 2.5 % and 97.5 % quantile of the null of dealing out one side's codes anew) of items among themselves."""
    arguments = query, database, table.labels, table.labels, 16
    low, high = np.quantile(permutation_null(*arguments, side=side, permutations=300), [0.025, 0.975])
    relevant = (table.labels[:, None] & table.labels[None]).any(2).mean()
    print(f"score {mean_average_precision(*arguments):.3f}, null {low:.3f}–{high:.3f}, P(relevant) {relevant:.3f}")
    return mean_average_precision(*arguments), low, high


@pytest.mark.parametrize("name", BASELINES)
def test_it_knows_something_of_unseen_items(fitted, table, name):
    bits = None if "cosine" in name else 16
    evaluation = evaluate(fitted[name].hash(table), table, bits, resamples=2)
    for direction in ("image→report", "report→image"):
        score = evaluation.score("mAP@all", direction, "unseen")
        assert score.value > score.chance + 0.05


@pytest.mark.parametrize("name", HASHES)
def test_a_code_is_that_of_its_own_modality_alone(fitted, table, name):
    codes = fitted[name].hash(table)
    assert codes["image"].shape == (len(table), 2)
    assert codes["image"].dtype == np.uint8
    order = np.random.default_rng(0).permutation(len(table))
    shuffled = fitted[name].hash(table.select(order))
    other = fitted[name].hash(replace(table, report=table.report[::-1]))
    alone = fitted[name].hash(table.select(np.arange(3)))
    for key in ("image", "report"):
        np.testing.assert_array_equal(shuffled[key], codes[key][order])
        np.testing.assert_array_equal(alone[key], codes[key][:3])
    np.testing.assert_array_equal(other["image"], codes["image"])


@pytest.mark.parametrize("name", HASHES)
def test_noise_images_score_inside_the_permutation_null(fitted, table, name):
    test = noisy(table.of_split("test"))
    codes = fitted[name].hash(test)
    for query, database, side in (("image", "report", "query"), ("report", "image", "database")):
        score, low, high = null_of(codes[query], codes[database], test, side)
        assert low < score < high


def test_the_leaky_protocol_scores_high_on_noise(fitted, table):
    """A "query image" fused with its own report retrieves by that report: it works as well without an image."""
    test = noisy(table.of_split("test"))
    codes = fitted["ucmfh"].hash(test)
    score, _, high = null_of(codes["paired_image"], codes["paired_report"], test, "query")
    assert score > high + 0.05


@pytest.mark.parametrize("name", ["contrastive-itq", "ddbh", "lsh"])
def test_the_seed_decides(table, name):
    train = table.of_split("train")
    first, again, other = (make_baseline(name).fit(train, 16, seed).hash(table)["image"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_items_of_one_modality_do_not_train(table):
    train = table.of_split("train")
    half = replace(train, has_image=np.arange(len(train)) % 2 == 0)
    pairs = train.select(half.paired)
    for each in (half, pairs):
        assert make_baseline("cca-itq").fit(each, 16, 0).hash(table)["report"].shape == (len(table), 2)
    np.testing.assert_array_equal(
        *(make_baseline("cca-itq").fit(x, 16, 0).hash(table)["report"] for x in (half, pairs))
    )


def test_what_cannot_be_fitted_is_refused(table):
    with pytest.raises(InputError, match="not known"):
        make_baseline("magic")
    with pytest.raises(InputError, match="pairs with labels"):
        make_baseline("ddbh").fit(replace(table, labels=table.labels & False), 16, 0)
    with pytest.raises(InputError, match="dimensions"):
        make_baseline("cca-itq").fit(table.of_split("train"), 128, 0)
