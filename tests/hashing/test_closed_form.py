"""The closed form against plain linear algebra, and its guides against their definitions."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from support.planted import planted_table, small

from mcmfh.embeddings.concepts import Concepts, Phrase
from mcmfh.errors import InputError
from mcmfh.hashing.guides import concept_profile, guide_parts, principal
from mcmfh.hashing.kernel_hash import FourierFeatures, group_folds, kernel_ridge
from mcmfh.hashing.preparation import prepare, training_digest
from mcmfh.hashing.settings import TrainSettings
from mcmfh.hashing.teachers import unit


def with_concepts(table, seed=0):
    """The planted table with two families of phrases, and reports that assert all they say."""
    rng = np.random.default_rng(seed)
    phrases = tuple(Phrase(family, f"{family} {i}") for family in ("organ", "finding") for i in range(5))
    vectors = rng.standard_normal((10, table.report.shape[1])).astype(np.float32)
    mentions = unit(table.report) @ unit(vectors).T
    return replace(table, asserted=table.report, mentions=mentions, concepts=Concepts(phrases, vectors))


def features(x):
    return np.concatenate([np.tanh(x), x * x], 1).astype(np.float32)


@pytest.mark.parametrize("n", [30, 300])
def test_ridge_is_the_textbook_solution_in_features_and_in_the_dual(n):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((n, 20)).astype(np.float32), rng.standard_normal((n, 3))
    y -= y.mean(0)
    mean, weight, held_out = kernel_ridge(features, x, y, 0.1)
    assert held_out is None
    p = features(x).astype(np.float64) - features(x).mean(0, dtype=np.float64)
    dual = p.T @ np.linalg.solve(p @ p.T + 0.1 * n * np.eye(n), y)
    np.testing.assert_allclose(weight, dual, atol=1e-4)
    np.testing.assert_allclose(mean, features(x).mean(0, dtype=np.float64), atol=1e-6)


def test_held_out_predictions_are_those_of_regressions_without_the_fold():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((60, 8)).astype(np.float32), rng.standard_normal((60, 2))
    folds = rng.integers(0, 4, 60)
    mean, _, held_out = kernel_ridge(features, x, y, 0.05, folds)
    p = features(x) - mean
    for fold in range(4):
        out = folds == fold
        rest = p[~out]
        weight = np.linalg.solve(rest.T @ rest + 0.05 * 60 * np.eye(p.shape[1]), rest.T @ y[~out])
        np.testing.assert_allclose(held_out[out], p[out] @ weight, atol=1e-3)


def test_features_approximate_the_kernel():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((6, 30)).astype(np.float32)
    layer = FourierFeatures(30, 20_000, 0.4, seed=0)
    found = layer(torch.from_numpy(x)).numpy()
    squared = ((x[:, None] - x) ** 2).sum(2)
    np.testing.assert_allclose(found @ found.T, np.exp(-0.4 * squared / 30), atol=0.03)


def test_a_group_stands_in_one_fold():
    group = np.array([f"g{i // 3}" for i in range(100)])
    folds = group_folds(group, seed=0)
    assert len(np.unique(folds)) == 5
    assert all(len({*folds[group == name]}) == 1 for name in group)
    assert np.bincount(group_folds(np.arange(5000).astype(str), 0, rows=500)).max() == 500


def test_a_mix_has_the_weighted_mean_of_the_cosines_of_its_parts():
    table = with_concepts(planted_table())
    image, report = ((x - x.mean(0)) / x.std(0) for x in (table.image, table.report))
    scores = table.concepts.by_families(table.mentions / 0.07)
    parts = guide_parts(image, report, scores, group_folds(table.group, 0))
    assert len(parts.families) == 2
    for part in (*parts.families, parts.fine, parts.coarse):
        np.testing.assert_allclose(np.linalg.norm(part, axis=1), 1, atol=1e-5)
    mixed = parts.mix(0.5, 0.3, 0.2, width=500)
    cosine = sum(
        share * part @ part.T
        for share, part in zip((0.25, 0.25, 0.3, 0.2), (*parts.families, parts.fine, parts.coarse))
    )
    centre = np.eye(len(cosine)) - 1 / len(cosine)
    np.testing.assert_allclose(mixed @ mixed.T, centre @ cosine @ centre, atol=1e-3)
    assert parts.mix(0.5, 0.3, 0.2, width=7).shape == (len(table), 7)


def test_a_profile_is_a_distribution_over_the_phrases():
    rng = np.random.default_rng(3)
    reports, phrases = rng.standard_normal((4, 16)), rng.standard_normal((9, 16))
    cosine = unit(reports) @ unit(phrases).T
    profile = concept_profile(cosine / 0.05)
    np.testing.assert_allclose((profile**2).sum(1), 1)
    assert (profile.argmax(1) == cosine.argmax(1)).all()
    np.testing.assert_allclose(profile[0, 1] ** 2 / profile[0, 2] ** 2, np.exp((cosine[0, 1] - cosine[0, 2]) / 0.05))


def test_principal_directions_come_in_the_order_of_their_variance():
    rng = np.random.default_rng(4)
    rows = rng.standard_normal((50, 12)) * np.arange(12, 0, -1)
    found = principal(rows - rows.mean(0), 4)
    variances = found.var(0)
    assert all(left >= right for left, right in pairwise(variances))
    exact = np.sort(np.linalg.eigvalsh(np.cov(rows.T, bias=True)))[::-1][:4]
    np.testing.assert_allclose(variances, exact, rtol=5e-2)


def test_the_supervised_guide_leaves_out_pairs_without_labels():
    table = planted_table()
    unknown = np.arange(len(table)) % 7 == 0
    table = replace(table, labels=table.labels & ~unknown[:, None])
    prepared = prepare(table, small("supervised closed form"))
    assert len(prepared.rows) == ((table.split == "train") & ~unknown).sum()
    assert prepared.unlabelled == ((table.split == "train") & unknown).sum()
    assert prepared.shape.settings.guide_width == 6


def test_labels_change_nothing_where_there_is_no_supervision():
    table = with_concepts(planted_table())
    settings = small("closed form", concepts="mesh2017")
    shuffled = replace(table, labels=table.labels[::-1])
    first, second = (prepare(each, settings) for each in (table, shuffled))
    np.testing.assert_array_equal(first.guide, second.guide)
    assert first.teacher == second.teacher


def test_what_the_guide_reads_names_the_training():
    table = with_concepts(planted_table())
    settings = small("closed form", concepts="mesh2017")
    others = (
        replace(table, asserted=table.asserted + 1),
        replace(table, mentions=table.mentions / 2),
        replace(table, concepts=replace(table.concepts, vectors=table.concepts.vectors + 1)),
    )
    for other in others:
        assert training_digest(other, settings) != training_digest(table, settings)
        assert prepare(other, settings).fingerprint != prepare(table, settings).fingerprint
        assert training_digest(other, small("default")) == training_digest(table, small("default"))


def test_concepts_that_were_not_encoded_are_missed():
    whole_alone = replace(with_concepts(planted_table()), mentions=None)
    settings = small("closed form", concepts="mesh2017")
    for table in (planted_table(), whole_alone):
        with pytest.raises(InputError, match="concepts"):
            prepare(table, settings)
    assert len(prepare(whole_alone, small("closed form", concepts="mesh2017", reading="reports")).guide)


def test_a_constant_of_a_phrase_in_all_reports_teaches_nothing():
    table = with_concepts(planted_table())
    settings = small("closed form", concepts="mesh2017", mix=(1, 0, 0))
    shifted = replace(table, mentions=table.mentions + np.linspace(-1, 1, table.mentions.shape[1], dtype=np.float32))
    guides = [prepare(each, settings).guide for each in (table, shifted)]
    np.testing.assert_allclose(guides[0] @ guides[0].T, guides[1] @ guides[1].T, atol=1e-4)


def test_family_weights_are_read_as_a_mapping_and_settings_stay_hashable():
    settings = TrainSettings(method="closed_form", supervised=True, family_weights={"finding": 2.0})
    assert settings.family_weights == (("finding", 2.0),)
    assert TrainSettings.model_validate(settings.model_dump()) == settings
    assert len({settings, TrainSettings()}) == 2


def test_the_teacher_of_concepts_is_the_mix_in_unit_rows():
    table = with_concepts(planted_table())
    settings = small("default", teacher="concepts")
    prepared = prepare(table, settings)
    assert (prepared.teacher, prepared.temperature) == ("concepts", 0.1)
    np.testing.assert_allclose(np.linalg.norm(prepared.guide, axis=1), 1, atol=1e-5)
    pairs = table.of_split("train")
    image, report = ((x - x.mean(0)) / (x.std(0) + 1e-6) for x in (pairs.image, pairs.report))
    folds = group_folds(pairs.group, settings.seed)
    scores = pairs.concepts.by_families(unit(pairs.asserted) @ unit(pairs.concepts.vectors).T / 0.05)
    parts = guide_parts(image, report, scores, folds)
    cosine = 0.2 * sum(part @ part.T for part in parts.families) + 0.6 * parts.coarse @ parts.coarse.T
    np.testing.assert_allclose(prepared.guide @ prepared.guide.T, cosine, atol=0.02)
    assert prepare(replace(table, asserted=table.asserted + 1), settings).fingerprint != prepared.fingerprint
    with pytest.raises(ValueError, match="needs a list of concepts"):
        small("default", teacher="concepts", concepts=None)
