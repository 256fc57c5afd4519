"""The mix of a guide's parts is chosen by what images show of them, and by no label."""

import numpy as np
import pytest
from support.planted import planted_table, small

from mcmfh.hashing.guides import Parts, correlation, guide_parts
from mcmfh.hashing.mixes import CONCEPTS_SHOWN, DETAILED, FINE_SHOWN, NAMED, UNNAMED, VAGUE, chosen_mix, shows_little
from mcmfh.hashing.preparation import prepare

ROWS = np.ones((3, 2), np.float32)


@pytest.mark.parametrize(
    ("families", "concepts", "fine", "mix"),
    [
        (2, 0.0, FINE_SHOWN, DETAILED),
        (2, CONCEPTS_SHOWN, FINE_SHOWN - 0.01, NAMED),
        (2, CONCEPTS_SHOWN - 0.01, -0.1, VAGUE),
        (0, 0.0, 0.9, UNNAMED),
    ],
)
def test_what_images_show_chooses(families, concepts, fine, mix):
    shown = {"concepts": concepts, "fine": fine}
    assert chosen_mix(Parts((ROWS,) * families, ROWS, ROWS, shown)) == mix
    assert shows_little(shown) == (mix == VAGUE)


def test_without_concepts_fine_detail_alone_says_whether_images_show_enough():
    assert shows_little({"fine": FINE_SHOWN - 0.01})
    assert not shows_little({"fine": FINE_SHOWN})


def drawn(rng, n, image_noise):
    """Image, report and scores of a family that all follow the same four topics."""
    topic = rng.standard_normal((n, 4))
    image = topic @ rng.standard_normal((4, 12)) + image_noise * rng.standard_normal((n, 12))
    report = topic @ rng.standard_normal((4, 10)) + 0.3 * rng.standard_normal((n, 10))
    return (image - image.mean(0)) / image.std(0), (report - report.mean(0)) / report.std(0), topic


def test_an_image_of_noise_shows_nothing_and_a_clear_one_much():
    rng = np.random.default_rng(0)
    folds = rng.integers(0, 5, 600)
    clear, noise = (
        guide_parts(image, report, [topic], folds).shown
        for image, report, topic in (drawn(rng, 600, 0.3), drawn(rng, 600, 1e6))
    )
    assert clear["concepts"] > 0.7
    assert clear["fine"] > 0.7
    assert max(noise.values()) < 0.15


def test_what_is_shown_of_concepts_is_the_correlation_with_held_out_regressions():
    rng = np.random.default_rng(1)
    image, report, topic = drawn(rng, 300, 1.0)
    folds = rng.integers(0, 4, 300)
    profile = np.exp(topic) / np.exp(topic).sum(1, keepdims=True)
    profile = np.sqrt(profile) - np.sqrt(profile).mean(0)
    seen = np.empty_like(profile)
    for fold in range(4):
        out = folds == fold
        x, y = image[~out], profile[~out]
        ridge = np.sqrt(0.3 * np.square(x).sum() / x.shape[1]) * np.eye(x.shape[1])  # as rows of data
        target = np.concatenate([y - y.mean(0), np.zeros((x.shape[1], y.shape[1]))])
        seen[out] = image[out] @ np.linalg.lstsq(np.concatenate([x, ridge]), target)[0]
    expected = (profile * seen).sum() / np.sqrt((profile**2).sum() * (seen**2).sum())
    assert guide_parts(image, report, [topic], folds).shown["concepts"] == pytest.approx(expected, abs=1e-9)


def test_a_correlation_has_no_scale_and_is_0_without_variance():
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((2, 40, 3))
    assert correlation(x, 7 * y) == pytest.approx(correlation(x, y))
    assert correlation(x, -x) == pytest.approx(-1)
    assert correlation(x, np.zeros_like(x)) == 0


def test_the_chosen_mix_and_what_chose_it_are_recorded():
    prepared = prepare(planted_table(), small("closed form"))
    assert prepared.teacher == "fine 0.5, coarse 0.5"
    assert set(prepared.agreement) == {"fine"}
    given = prepare(planted_table(), small("closed form", mix=(0, 1, 0)))
    assert (given.teacher, given.agreement) == ("fine 1", {})
