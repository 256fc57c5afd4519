"""Teachers see what both sides share; the choice among them looks at no label."""

import numpy as np
import pytest

from mcmfh.hashing.teachers import CANDIDATES, MARGIN, TEACHERS, agreement, choose_teacher, ridge_cca, unit


def sides(n, shared, noise_image, noise_report, seed=0):
    """Standardised image [n, 40] and report [n, 30] of `shared` common topics and private variation."""
    rng = np.random.default_rng(seed)
    topic = np.eye(shared)[rng.integers(0, shared, n)]
    mix = np.random.default_rng(99)
    found = []
    for width, noise in ((40, noise_image), (30, noise_report)):
        x = 3 * topic @ mix.standard_normal((shared, width))
        x = x + noise * rng.standard_normal((n, 8)) @ mix.standard_normal((8, width))
        found.append((x - x.mean(0)) / x.std(0))
    return (found[0], found[1]), topic.argmax(1)


def test_ridge_cca_without_ridge_is_cca():
    (image, report), _ = sides(400, 4, 1.0, 1.0)
    image, report = image[:, :6], report[:, :5]
    cca = ridge_cca(image, report, 0.0, 0.0)
    a, b = image @ cca.image, report @ cca.report
    assert np.allclose(a.T @ a / 400, np.eye(a.shape[1]), atol=1e-8)
    assert np.allclose(b.T @ b / 400, np.eye(5), atol=1e-8)
    assert np.allclose(np.diag(a.T @ b / 400)[:5], cca.correlation[:5], atol=1e-8)
    assert (np.diff(cca.correlation) <= 1e-12).all()


@pytest.mark.parametrize("name", TEACHERS)
def test_guides_are_unit_vectors_in_float32(name):
    train, _ = sides(100, 4, 1.0, 1.0)
    guide = TEACHERS[name].guide(*train)
    assert guide.dtype == np.float32
    assert np.allclose(np.linalg.norm(guide, axis=1), 1, atol=1e-5)


def test_agreement_is_high_for_what_both_see_and_low_for_what_neither_sees():
    everything, topic = sides(600, 5, 1.0, 1.0)
    train, held_out = ([x[:400] for x in everything], [x[400:] for x in everything])
    shared = unit(np.eye(5)[topic[:400]] - 0.2)
    nothing = unit(np.random.default_rng(0).standard_normal((400, 5)))
    seen, unseen = (agreement(tuple(train), tuple(held_out), guide) for guide in (shared, nothing))
    assert seen > 0.8
    assert unseen < seen / 2


def test_auto_takes_the_candidate_that_agrees_best_and_a_name_takes_that_one():
    everything, _ = sides(600, 5, 4.0, 4.0)
    train, held_out = (everything[0][:400], everything[1][:400]), (everything[0][400:], everything[1][400:])
    teacher, guide, scores = choose_teacher("auto", train, held_out)
    assert set(scores) == set(CANDIDATES)
    as_good = [name for name in CANDIDATES if scores[name] >= max(scores.values()) - MARGIN]
    assert teacher.name == as_good[0]
    assert np.array_equal(guide, teacher.guide(*train))
    assert choose_teacher("report", train, held_out)[0].name == "report"
    assert choose_teacher("auto", train, (held_out[0][:3], held_out[1][:3]))[0].name == "cca"
