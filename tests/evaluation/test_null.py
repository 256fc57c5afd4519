"""The permutation null is about the score that it stands beside: the same queries, items and studies left out."""

from dataclasses import replace

import numpy as np
import pytest

from mcmfh.evaluation import evaluate, permutation_null
from mcmfh.evaluation.null import headline_null
from mcmfh.evaluation.tables import HEADLINE, headline_rows

from .test_evaluate import codes_of

BOTH = ("seen", "unseen")


def in_studies(table, size=3, labelled=1.0):
    """Studies of `size` items, whose items all share the labels of the first, and labels on a part of the items."""
    first = np.arange(len(table)) // size * size
    kept = np.random.default_rng(0).random(len(table)) < labelled
    return replace(
        table, study=table.item_id[first], group=table.item_id[first], labels=table.labels[first] & kept[:, None]
    )


@pytest.mark.parametrize("labelled", [1.0, 0.6, 0.3])
@pytest.mark.parametrize("direction", ["image→report", "report→image"])
def test_a_permutation_that_changes_nothing_gives_the_score_of_the_evaluation(table, direction, labelled):
    """All items of a split have one code, so that permuted codes are the codes."""
    varied = in_studies(table, labelled=labelled)
    codes = {name: np.zeros((len(table), 2), np.uint8) for name in ("image", "report")}
    score = evaluate(codes, varied, 16, resamples=2, permutations=0).score("mAP@all", direction, "unseen").value
    test = varied.of_split("test")
    rows = np.zeros((len(test), 2), np.uint8)
    null = permutation_null(rows, rows, test.labels, test.labels, 16, permutations=2, own=(test.study, test.study))
    assert null == pytest.approx([score, score])


def brute_force_null(codes, table, permutations):
    """Codes of both modalities permuted within each split, then scored by `evaluate`."""
    random, values = np.random.default_rng(5), []
    for _ in range(permutations):
        moved = {}
        for name, present in (("image", table.has_image), ("report", table.has_report)):
            moved[name] = codes[name].copy()
            for split in np.unique(table.split):
                rows = np.flatnonzero((table.split == split) & table.labels.any(1) & present)
                moved[name][rows] = codes[name][random.permutation(rows)]
        bits = 16 if codes["image"].dtype == np.uint8 else None
        evaluation = evaluate(moved, table, bits, resamples=2, permutations=0, families=())
        values.append([evaluation.mean(), evaluation.mean(databases=("unseen",))])
    return np.array(values)


@pytest.mark.parametrize("labelled", [1.0, 0.5])
@pytest.mark.parametrize("real", [False, True])
def test_the_null_is_that_of_permuted_codes(table, labelled, real):
    varied = in_studies(table, labelled=labelled)
    varied = replace(varied, has_image=np.arange(len(table)) % 7 > 0)
    codes = {"image": table.image[:, :20], "report": table.report} if real else codes_of(table)
    null = headline_null(codes, varied, None if real else 16, permutations=150, seed=1)
    values = brute_force_null(codes, varied, 60)
    for bounds, drawn in ((null.mean, values[:, 0]), (null.unseen, values[:, 1])):
        middle, half = np.mean(bounds), (bounds[1] - bounds[0]) / 2
        error = np.std(drawn) * (1 / 60 + 1 / 150) ** 0.5
        assert middle == pytest.approx(np.mean(drawn), abs=3.5 * error)
        assert half == pytest.approx(1.96 * np.std(drawn, ddof=1), rel=0.3)


@pytest.mark.parametrize("constant", [False, True])
def test_codes_without_knowledge_stand_within_their_null_and_others_do_not(table, constant):
    random = np.random.default_rng(0)
    blind = {name: random.integers(0, 256, (len(table), 2), dtype=np.uint8) for name in ("image", "report")}
    if constant:
        blind["report"][:] = 7
    inside = evaluate(blind, table, 16, resamples=2)
    low, high = inside.null.mean
    assert low - 1e-9 <= inside.mean() <= high + 1e-9
    knowing = evaluate(codes_of(table), table, 16, resamples=2)
    assert knowing.mean() > knowing.null.mean[1]
    assert knowing.mean(databases=("unseen",)) > knowing.null.unseen[1]


def test_the_null_stands_beside_every_headline_score(table):
    evaluations = [evaluate(codes_of(table, seed=seed), table, 16, "heads", seed, resamples=2) for seed in (0, 1)]
    evaluations.append(
        evaluate({"image": table.image[:, :20], "report": table.report}, table, None, "cosine", resamples=2)
    )
    assert "permutation null" in HEADLINE
    _, heads, cosine = headline_rows(evaluations)
    of_mean, of_unseen = (
        "[{:.3f}–{:.3f}]".format(*np.mean([getattr(each.null, name) for each in evaluations[:2]], 0))
        for name in ("mean", "unseen")
    )
    mean, unseen = (np.mean([each.mean(databases=where) for each in evaluations[:2]]) for where in (BOTH, BOTH[1:]))
    assert heads[1].startswith(f"{mean:.3f} ± ")
    assert heads[1].endswith(f" {of_mean} ({unseen:.3f} {of_unseen})")
    assert cosine[2].count("[") == 2
    assert type(evaluations[0]).from_json(evaluations[0].to_json()) == evaluations[0]


@pytest.mark.parametrize("missing", ["labels of train", "images as queries", "seen"])
def test_a_mean_of_four_is_no_mean_of_fewer(table, missing):
    codes, databases = codes_of(table), ("seen", "unseen", "all")
    if missing == "labels of train":
        table = replace(table, labels=table.labels & (table.split != "train")[:, None])
    elif missing == "images as queries":
        table = replace(table, has_image=table.has_image & (table.split == "train"))
    else:
        databases = ("unseen", "all")
    found = evaluate(codes, table, 16, "m", resamples=2, databases=databases)
    assert np.isnan(found.mean())
    assert np.isnan(found.chance())
    assert found.null.mean is None
    _, row = headline_rows([found])
    unseen = found.mean(databases=("unseen",))
    assert np.isnan(unseen) == (missing == "images as queries")
    interval = "" if np.isnan(unseen) else " [{:.3f}–{:.3f}]".format(*found.null.unseen)
    assert row[1] == ("– (–)" if np.isnan(unseen) else f"– ({unseen:.3f}{interval})")


def test_without_labels_there_is_no_null(table):
    bare = replace(table, labels=np.zeros((len(table), 0), bool), label_names=())
    assert evaluate(codes_of(table), bare, 16, resamples=2).null is None
