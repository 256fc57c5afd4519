"""Scores on validation against the evaluation's own; calibration against counting."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmfh.evaluation import evaluate
from mcmfh.hashing.calibration import calibrate, falling_rate
from mcmfh.hashing.validation import validation_scores


def test_scores_are_those_of_the_evaluation():
    from support.planted import planted_table

    table = planted_table().of_split("validation")
    rng = np.random.default_rng(0)
    codes = {name: rng.integers(0, 256, (len(table), 2), np.uint8) for name in ("image", "report")}
    scores = validation_scores(codes, table)
    full = evaluate(codes, table, 16, query_split="validation", databases=("unseen",), resamples=2)
    for way, direction in (("image_to_report", "image→report"), ("report_to_image", "report→image")):
        assert scores[way]["mAP"] == pytest.approx(full.score("mAP@all", direction, "unseen").value)
        assert scores[way]["R@5"] == pytest.approx(full.score("R@5", direction, "own split").value)
    assert set(validation_scores(codes, replace(table, labels=table.labels[:, :0]))["chance"]) == {"R@1", "R@5", "R@10"}


COUNTS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=12)


def counts_of(drawn):
    """(positives, pairs) of drawn numbers."""
    return np.array([min(both) for both in drawn]), np.array([max(both) for both in drawn])


@settings(max_examples=60, deadline=None)
@given(COUNTS)
def test_a_calibrated_rate_never_rises_with_distance_and_keeps_what_already_falls(drawn):
    positives, pairs = counts_of(drawn)
    rate = falling_rate(positives, pairs)
    assert len(rate) == len(pairs)
    if not pairs.any():
        assert np.isnan(rate).all()
        return
    assert (np.diff(rate) <= 1e-12).all()
    positives, pairs, rate = (each[pairs > 0] for each in (positives, pairs, rate))
    raw, shrunk = positives / pairs, (positives + positives.sum() / pairs.sum()) / (pairs + 1)
    if (np.diff(raw) < 0).all() and (np.diff(shrunk) <= 0).all():
        assert np.allclose(rate, shrunk)


@settings(max_examples=60, deadline=None)
@given(COUNTS, st.integers(2, 40))
def test_a_rate_does_not_depend_on_how_finely_the_distances_are_divided(drawn, parts):
    """Codes 16 times as long count the same pairs in 16 times as many distances."""
    positives, pairs = counts_of(drawn)
    fine = np.zeros((2, len(pairs) * parts), int)
    fine[:, ::parts] = positives, pairs
    np.testing.assert_allclose(falling_rate(*fine)[::parts], falling_rate(positives, pairs))


@pytest.mark.parametrize("distances", [101, 513, 1025])
def test_the_pull_towards_the_base_rate_is_that_of_one_pair(distances):
    """101 pairs, one a distance and all right, among far pairs that are wrong."""
    pairs = np.where(np.arange(distances) < 101, 1, 40)
    positives = (np.arange(distances) < 101).astype(int)
    base = positives.sum() / pairs.sum()
    np.testing.assert_allclose(falling_rate(positives, pairs)[:101], (101 + base) / 102)


def test_a_distance_without_pairs_is_no_better_than_the_next_that_has_some():
    rate = falling_rate(np.array([0, 9, 0, 0, 10, 0]), np.array([0, 10, 0, 0, 100, 0]))
    base = 19 / 110
    np.testing.assert_allclose(rate, [(9 + base) / 11] * 2 + [(10 + base) / 101] * 4)


@pytest.mark.parametrize(("share", "labelled"), [(1.0, True), (0.65, True), (0.1, False), (0.0, False)])
def test_calibration_counts_pairs_as_its_name_says(share, labelled):
    rng = np.random.default_rng(0)
    codes = {name: rng.integers(0, 256, (30, 1), np.uint8) for name in ("image", "report")}
    study = np.array([f"s{i // 2}" for i in range(30)])
    labels = rng.random((30, 3)) < 0.3
    labels[:, 0] |= ~labels.any(1)
    labels &= (rng.permutation(30) < 30 * share)[:, None]
    found = calibrate(codes, labels, study, most_error=1.0)  # drawn codes tell nothing apart
    assert found["meaning"] == ("relevant" if labelled else "same study")
    assert (found["items"], found["counted"]) == (30, labels.any(1).sum() if labelled else 30)
    for query, asked in (("image", ("image",)), ("report", ("report",)), ("both", ("image", "report"))):
        for target in ("image", "report", "study"):
            pairs, positives = _counted(codes, labels, study, asked, target, labelled)
            assert found[f"{query}-{target}"]["pairs"] == pairs
            assert found[f"{query}-{target}"]["positives"] == positives
    if share in (0, 1):
        assert sum(found["image-image"]["pairs"]) == 30 * (28 if labelled else 29)
        assert sum(found["both-study"]["pairs"]) == 30 * (14 if labelled else 15)


@pytest.mark.parametrize("pictures", [1, 8])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.1])
def test_a_missing_label_does_not_lower_the_stated_precision(share, pictures):
    """Codes that tell the classes exactly: what is near is relevant, however few of the items say so."""
    rng = np.random.default_rng(1)
    of_study = np.arange(320) // pictures
    theme = of_study % 4
    codes = {name: (theme * 0x55).astype(np.uint8)[:, None] for name in ("image", "report")}
    labels = np.eye(4, dtype=bool)[theme] & (rng.permutation(320) < 320 * share)[:, None]
    found = calibrate(codes, labels, of_study)
    assert found["meaning"] == "relevant"
    for name, table in found.items():
        if "-" in name:
            assert table["probability"][0] > 0.95
            assert table["probability"][-1] < 0.05


def test_one_labelled_item_does_not_turn_the_tables():
    codes = {name: np.zeros((40, 1), np.uint8) for name in ("image", "report")}
    labels, study = np.zeros((40, 1), bool), np.arange(40)
    labels[0] = True
    found, bare = (calibrate(codes, each, study) for each in (labels, labels[:, :0]))
    assert found == bare
    assert found["meaning"] == "same study"


def test_items_without_labels_change_no_score_of_relevance():
    from support.planted import planted_table

    table = planted_table().of_split("validation")
    rng = np.random.default_rng(0)
    codes = {name: rng.integers(0, 256, (len(table), 2), np.uint8) for name in ("image", "report")}
    half = np.arange(len(table)) % 2 == 0
    partly = validation_scores(codes, replace(table, labels=table.labels & half[:, None]))
    only = validation_scores({name: rows[half] for name, rows in codes.items()}, table.select(half))
    for way in ("image_to_report", "report_to_image", "chance"):
        assert partly[way]["mAP"] == pytest.approx(only[way]["mAP"])


@pytest.mark.parametrize(("items", "pictures"), [(60, 2), (60, 6), (64, 8)])
def test_the_own_study_counts_as_little_as_in_the_evaluation(items, pictures):
    """Codes know the study and nothing else, so that no pair of two studies is at distance 0."""
    rng = np.random.default_rng(0)
    study = np.array([f"s{i // pictures}" for i in range(items)])
    of_study = rng.integers(0, 256, (items, 2), np.uint8)
    codes = {name: of_study[np.arange(items) // pictures * pictures] for name in ("image", "report")}
    labels = np.eye(2, dtype=bool)[np.arange(items) // pictures % 2]
    found = calibrate(codes, labels, study)
    for query in ("image", "report", "both"):
        for target in ("image", "report"):
            table = found[f"{query}-{target}"]
            assert sum(table["pairs"]) == items * (items - pictures)
            assert table["pairs"][0] == 0
        assert found[f"{query}-study"]["pairs"][0] == 0


def test_calibration_has_the_population_of_the_evaluation():
    """The relevant share of all pairs is the one that the evaluation states."""
    from support.planted import planted_table

    table = planted_table().of_split("validation")
    table = replace(table, study=np.array([f"s{i // 3}" for i in range(len(table))]))
    codes = {name: np.zeros((len(table), 2), np.uint8) for name in ("image", "report")}
    score = evaluate(codes, table, 16, query_split="validation", databases=("unseen",), resamples=2)
    counted = calibrate(codes, table.labels, table.study)["image-report"]
    share = sum(counted["positives"]) / sum(counted["pairs"])
    assert share == pytest.approx(score.score("mAP@all", "image→report", "unseen").relevant_pairs)


def test_a_single_study_has_no_rate_of_others():
    codes = {name: np.zeros((20, 2), np.uint8) for name in ("image", "report")}
    found = calibrate(codes, np.ones((20, 1), bool), np.full(20, "s"))
    assert found["image-report"]["probability"] == [None] * 17


def _counted(codes, labels, study, asked, target, labelled):
    """Pairs and positives by distance, one pair after the other."""
    pairs, positives = np.zeros(8 * len(asked) + 1, int), np.zeros(8 * len(asked) + 1, int)
    targets = [[i] for i in range(30)] if target != "study" else [[i, i + 1] for i in range(0, 30, 2)]
    for i in range(30):
        for members in targets:
            near, relevant = [], False
            if labelled and not (labels[i].any() and any(labels[j].any() for j in members)):
                continue
            for j in members:
                for column in ("image", "report") if target == "study" else (target,):
                    if study[i] == study[j] if labelled else i == j and column in asked:
                        continue
                    near.append(sum(int(np.bitwise_count(codes[a][i] ^ codes[column][j]).sum()) for a in asked))
                    relevant |= (labels[i] & labels[j]).any() if labelled else study[i] == study[j]
            if near:
                pairs[min(near)] += 1
                positives[min(near)] += relevant
    return pairs.tolist(), positives.tolist()
