"""`evaluate` against its definitions written out as loops, and what it must refuse or leave out."""

from dataclasses import replace

import numpy as np
import pytest

from mcmfh.errors import InputError
from mcmfh.evaluation import Evaluation, evaluate, permutation_null, summarise
from mcmfh.evaluation.pair_recall import pair_ranks, pair_recall, random_recall
from mcmfh.evaluation.pairs import answer_groups, equal_pairs


def codes_of(table, bits=16, seed=0):
    """Random projections: codes that know a little."""
    random = np.random.default_rng(seed)
    shared = random.standard_normal((table.labels.shape[1], bits))
    return {
        name: np.packbits(table.labels @ shared + random.standard_normal((len(table), bits)) > 0, 1, bitorder="little")
        for name in ("image", "report", "fused", "paired_image", "paired_report")
    }


def expected_ap(distance, relevant):
    """By the formula of McSherry & Najork, one position at a time."""
    total, before, found = 0.0, 0, 0
    for d in np.unique(distance):
        n, r = (distance == d).sum(), relevant[distance == d].sum()
        for i in range(1, n + 1):
            total += r / n * (found + 1 + ((i - 1) * (r - 1) / (n - 1) if n > 1 else 0)) / (before + i)
        before, found = before + n, found + r
    return total / max(1, relevant.sum())


@pytest.mark.parametrize("database", ["seen", "unseen", "all"])
def test_map_is_the_formula_over_the_right_items(table, database):
    codes = codes_of(table)
    got = evaluate(codes, table, 16, resamples=20).score("mAP@all", "image→report", database)
    scores = []
    for query in np.flatnonzero(table.split == "test"):
        rows = {"seen": table.split == "train", "unseen": table.split == "test", "all": np.ones(len(table), bool)}[
            database
        ]
        rows = rows & (table.study != table.study[query])
        distance = np.bitwise_count(codes["image"][query] ^ codes["report"][rows]).sum(1)
        scores.append(expected_ap(distance, (table.labels[rows] & table.labels[query]).any(1)))
    assert got.value == pytest.approx(np.mean(scores))
    assert got.worst < got.value < got.best
    assert got.low < got.value < got.high
    assert got.queries == (table.split == "test").sum()


def test_every_protocol_is_named_and_absent_codes_are_skipped(table):
    codes = codes_of(table)
    names = {score.protocol for score in evaluate(codes, table, 16, resamples=5).scores}
    assert names == {"single/single", "single/paired", "paired/paired (leaky, for comparison only)"}
    only = {name: codes[name] for name in ("image", "report")}
    assert {score.protocol for score in evaluate(only, table, 16, resamples=5).scores} == {"single/single"}


def test_items_without_the_modality_or_labels_do_not_count(table):
    random = np.random.default_rng(3)
    lacking = replace(table, has_image=random.random(len(table)) < 0.7, has_report=random.random(len(table)) < 0.8)
    lacking.labels[::7] = False
    score = evaluate(codes_of(table), lacking, 16, resamples=5).score("mAP@all", "report→image", "seen")
    assert score.queries == (lacking.has_report & (lacking.split == "test") & lacking.labels.any(1)).sum()
    stored = lacking.has_image & (lacking.split == "train")
    assert score.items == (stored & lacking.labels.any(1)).sum()
    asked = lacking.has_report & (lacking.split == "test")
    assert score.unlabelled_queries == (asked & ~lacking.labels.any(1)).sum()
    assert score.unlabelled_items == (stored & ~lacking.labels.any(1)).sum()


@pytest.mark.parametrize("share", [0.6, 0.15])
@pytest.mark.parametrize("bits", [16, None])
def test_scores_with_missing_labels_are_those_of_the_labelled_items(table, share, bits):
    codes = codes_of(table) if bits else {"image": table.image[:, :20], "report": table.report}
    kept = np.random.default_rng(2).random(len(table)) < share
    partly = evaluate(codes, replace(table, labels=table.labels & kept[:, None]), bits, resamples=5)
    only = evaluate({name: rows[kept] for name, rows in codes.items()}, table.select(kept), bits, resamples=5)
    compared = [score for score in only.scores if not score.measure.startswith("R@")]
    assert compared
    for score in compared:
        found = next(each for each in partly.scores if each.key == score.key)
        assert replace(found, unlabelled_queries=0, unlabelled_items=0) == score


def test_the_null_leaves_out_items_without_labels(table):
    codes = codes_of(table)
    kept = np.arange(len(table)) % 3 > 0
    labels = table.labels & kept[:, None]
    partly = permutation_null(codes["image"], codes["report"], labels, labels, 16, permutations=5)
    only = permutation_null(codes["image"][kept], codes["report"][kept], labels[kept], labels[kept], 16, permutations=5)
    np.testing.assert_array_equal(partly, only)


def test_without_labels_only_pairs_are_measured(table):
    bare = replace(table, labels=np.zeros((len(table), 0), bool), label_names=())
    evaluation = evaluate(codes_of(table), bare, 16, resamples=5)
    assert {score.measure for score in evaluation.scores} == {"R@1", "R@5", "R@10"}
    assert np.isnan(evaluation.mean())


def test_real_vectors_are_ranked_by_cosine(table):
    vectors = {"image": table.image[:, :20], "report": table.report}
    score = evaluate(vectors, table, None, resamples=5).score("mAP@all", "image→report", "unseen")
    query = table.split == "test"
    unit = [v[query] / np.linalg.norm(v[query], axis=1, keepdims=True) for v in vectors.values()]
    cosine = unit[0] @ unit[1].T
    values = []
    for i, labels in enumerate(table.labels[query]):
        others = np.arange(query.sum()) != i
        values.append(expected_ap(-cosine[i][others], (table.labels[query][others] & labels).any(1)))
    assert score.value == pytest.approx(np.mean(values), abs=1e-6)


def test_pair_recall_groups_equal_texts_and_shares_ties():
    # Three answers: {0, 1} by equal text, {2}, {3}. Distances of query 0: own 3 (by member 1), others 3 and 5.
    query, database = np.array([[0]], np.uint8), np.array([[0b11111], [0b111], [0b1110], [0b11111]], np.uint8)
    ranks = pair_ranks(query, database, np.array([0]), np.array([0, 0, 2, 3]))
    assert [int(each[0]) for each in ranks] == [0, 2]
    assert [pair_recall(ranks, 1, ties)[0] for ties in ("worst", "expected", "best")] == [0.0, 0.5, 1.0]
    assert pair_recall(ranks, 5)[0] == 1.0


def test_pair_ranks_equal_the_loop(table):
    codes, group = codes_of(table), answer_groups(table)
    closer, tied = pair_ranks(codes["image"], codes["report"], group, group)
    for query in range(len(table)):
        distance = np.bitwise_count(codes["image"][query] ^ codes["report"]).sum(1)
        least = {g: distance[group == g].min() for g in np.unique(group)}
        own = least[group[query]]
        assert closer[query] == sum(d < own for d in least.values())
        assert tied[query] == sum(d == own for d in least.values())


def test_random_recall_is_that_of_shuffled_items():
    random = np.random.default_rng(4)
    group, codes = np.array([0, 0, 0, 1, 1, 2, 3, 4, 5, 6]), np.arange(10, dtype=np.uint8)[:, None]
    codes[4] = codes[3]  # group 1 has one distinct member
    sampled = np.zeros(7)
    for _ in range(4000):
        order = random.permutation([0, 1, 2, 3, 5, 6, 7, 8, 9])
        sampled[list(dict.fromkeys(group[order]))[:3]] += 1 / 4000
    np.testing.assert_allclose(random_recall(codes, group, 3, draws=4000), sampled[group], atol=0.05)


def test_answers_are_connected_through_studies_and_texts(table):
    study = np.array(["a", "a", "b", "c", "d"])
    text = np.array(["x", "y", "y", "", ""])
    small = replace(table.select(np.arange(5)), study=study, text_key=text)
    assert answer_groups(small).tolist() == [0, 0, 0, 3, 4]


def test_equal_pairs_is_the_join():
    random = np.random.default_rng(0)
    left, right = random.integers(0, 6, 30).astype(str), random.integers(0, 6, 40).astype(str)
    expected = {(i, j) for i in range(30) for j in range(40) if left[i] == right[j]}
    assert set(zip(*(each.tolist() for each in equal_pairs(left, right)))) == expected


def test_random_codes_lie_inside_the_permutation_null_and_knowing_ones_do_not(table):
    test = table.of_split("test")
    random = np.random.default_rng(9)
    noise = random.integers(0, 256, (len(test), 2), dtype=np.uint8)
    codes = codes_of(test)
    for query, inside in ((noise, True), (codes["image"], False)):
        null = permutation_null(query, codes["report"], test.labels, test.labels, 16, permutations=100)
        low, high = np.quantile(null, [0.025, 0.975])
        score = evaluate({"image": query, "report": codes["report"]}, test, 16, databases=("unseen",), resamples=2)
        assert (low < score.score("mAP@all", "image→report", "unseen").value < high) == inside


def test_seeds_are_averaged_with_their_deviation(table):
    evaluations = [
        evaluate(codes_of(table, seed=seed), table, 16, "projection", seed, resamples=5) for seed in range(3)
    ]
    key = ("single/single", "image→report", "unseen", "mAP@all")
    (row,) = (row for row in summarise(evaluations) if row.score.key == key)
    values = [evaluation.score("mAP@all", "image→report", "unseen").value for evaluation in evaluations]
    assert row.seeds == 3
    assert row.score.value == pytest.approx(np.mean(values))
    assert row.sd == pytest.approx(np.std(values, ddof=1))


def test_json_gives_the_same_evaluation_back(table):
    evaluation = evaluate(codes_of(table), table, 16, resamples=5)
    assert Evaluation.from_json(evaluation.to_json()) == evaluation


def test_what_does_not_fit_is_refused(table):
    with pytest.raises(InputError, match="rows"):
        evaluate({"image": np.zeros((3, 2), np.uint8)}, table, 16)
    with pytest.raises(InputError, match="split"):
        evaluate(codes_of(table), table, 16, query_split="testing")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["image", "report"])
@pytest.mark.parametrize("item", ["all", "one that is asked", "one that is stored"])
def test_vectors_that_are_not_finite_are_refused_and_score_nothing(table, name, value, item):
    rows = {
        "all": slice(None),
        "one that is asked": table.split == "test",
        "one that is stored": table.split == "train",
    }
    vectors = {"image": table.image[:, :20].copy(), "report": table.report.copy()}
    chosen = np.arange(len(table))[rows[item]]
    vectors[name][chosen if item == "all" else chosen[:1]] = value
    with pytest.raises(InputError, match=rf"vectors '{name}' .* not finite"):
        evaluate(vectors, table, None, resamples=2)


def test_what_a_missing_modality_has_for_a_vector_does_not_count(table):
    without = np.arange(len(table)) % 7 == 0
    table = replace(table, has_image=~without)
    vectors = {"image": table.image[:, :20].copy(), "report": table.report}
    before = evaluate(vectors, table, None, resamples=2).scores
    vectors["image"][without] = np.nan
    assert evaluate(vectors, table, None, resamples=2).scores == before
