"""Graded measures against every order of the ties, against sampled orders, and against their definitions as loops."""

from dataclasses import replace
from functools import partial
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmfh.errors import InputError
from mcmfh.evaluation import evaluate
from mcmfh.evaluation.average_gain import average_gain
from mcmfh.evaluation.discounted_gain import normalised_discounted_gain
from mcmfh.evaluation.gain import gains, inverse_frequency
from mcmfh.evaluation.graded_ranking import GradedRanking, rank_gains


# The measures by their definitions, of one strict order of gains.
def plain_ndcg(gain, at=None):
    def dcg(values):
        return sum(value / np.log2(2 + i) for i, value in enumerate(values[: at or len(values)]))

    best = dcg(sorted(gain, reverse=True))
    return dcg(gain) / best if best else 0.0


def plain_acg(gain, at):
    return sum(gain[:at]) / at


MEASURES = {
    "nDCG@all": (
        plain_ndcg,
        lambda ranking, ties: normalised_discounted_gain(ranking.positions(ties), ranking.ideal()),
    ),
    **{
        f"nDCG@{k}": (
            partial(plain_ndcg, at=k),
            lambda ranking, ties, k=k: normalised_discounted_gain(ranking.positions(ties), ranking.ideal(), k),
        )
        for k in (1, 2, 4, 30)
    },
    **{
        f"ACG@{k}": (partial(plain_acg, at=k), lambda ranking, ties, k=k: average_gain(ranking.positions(ties), k))
        for k in (1, 2, 4, 30)
    },
}


def ranking_of(ties):
    """A ranking of one query whose ties have these gains."""
    gain = np.concatenate([np.array(tie, float) for tie in ties])
    step = np.repeat(np.arange(len(ties)), [len(tie) for tie in ties])
    return GradedRanking(gain[None], step[None], np.array([len(gain)]))


@pytest.mark.parametrize(("plain", "fair"), MEASURES.values(), ids=MEASURES)
@pytest.mark.parametrize(
    "ties",
    [[[1, 0.5, 0]], [[0.2], [0, 0.7, 0.7], [1]], [[0, 0], [0.4, 1], [0.1]], [[0, 0]], [[0.3, 0.3, 1, 0.1]]],
    ids=str,
)
@pytest.mark.parametrize("exponential", [False, True])
def test_expectation_and_bounds_are_those_of_all_orders(plain, fair, ties, exponential):
    ranking = ranking_of(ties)
    if exponential:
        ranking, ties = ranking.exponential(), [[2**gain - 1 for gain in tie] for tie in ties]
    scores = [plain([g for tie in order for g in tie]) for order in product(*(list(permutations(tie)) for tie in ties))]
    assert fair(ranking, "expected")[0] == pytest.approx(np.mean(scores), abs=1e-12)
    assert fair(ranking, "worst")[0] == pytest.approx(min(scores), abs=1e-12)
    assert fair(ranking, "best")[0] == pytest.approx(max(scores), abs=1e-12)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_codes_and_left_out_items_agree_with_sampled_orders(seed):
    random = np.random.default_rng(seed)
    asked, stored = (random.integers(0, 8, (n, 1)).astype(np.uint8) for n in (3, 80))
    gain, counted = random.random((3, 80)) * (random.random((3, 80)) < 0.3), random.random((3, 80)) < 0.8
    ranking = rank_gains(asked, stored, gain, counted)
    for query in range(3):
        distance = np.bitwise_count(asked[query] ^ stored[counted[query]]).ravel()
        values = gain[query, counted[query]]
        orders = [values[np.lexsort((random.random(len(values)), distance))] for _ in range(800)]
        shuffles = [random.permutation(values) for _ in range(800)]
        for k in (5, 20):
            found = normalised_discounted_gain(ranking.positions(), ranking.ideal(), k)[query]
            sampled = np.array([plain_ndcg(order, k) for order in orders])
            assert abs(found - sampled.mean()) < 6 * sampled.std() / np.sqrt(800) + 1e-9
            found = normalised_discounted_gain(ranking.shuffled().positions(), ranking.ideal(), k)[query]
            sampled = np.array([plain_ndcg(order, k) for order in shuffles])
            assert abs(found - sampled.mean()) < 6 * sampled.std() / np.sqrt(800) + 1e-9
        assert average_gain(ranking.shuffled().positions(), 20)[query] == pytest.approx(values.mean())


def test_a_query_whose_items_are_all_left_out_scores_nothing():
    ranking = rank_gains(
        np.zeros((1, 1), np.uint8), np.zeros((4, 1), np.uint8), np.ones((1, 4)), np.zeros((1, 4), bool)
    )
    assert ranking.counted[0] == 0
    assert normalised_discounted_gain(ranking.positions(), ranking.ideal())[0] == 0


def test_gains_are_the_weighted_share_of_the_query():
    random = np.random.default_rng(0)
    train = random.random((50, 4)) < [0.9, 0.5, 0.1, 0.0]
    train[:5] = False  # unknown: counted nowhere
    idf = inverse_frequency(train)
    labelled = train[train.any(1)]
    expected = [np.log(len(labelled) / max(1, labelled[:, c].sum())) for c in range(4)]
    np.testing.assert_allclose(idf, expected)
    query, database = random.random((6, 4)) < 0.5, random.random((9, 4)) < 0.5
    found = gains(query, database, idf)
    for q, d in product(range(6), range(9)):
        total = sum(idf[query[q]])
        shared = sum(idf[query[q] & database[d]])
        assert found[q, d] == pytest.approx(shared / total if total else 0.0)


def test_evaluate_states_graded_scores_with_idf_of_the_training_items(table):
    random = np.random.default_rng(0)
    labels = table.labels & (random.random(len(table)) < 0.8)[:, None]
    table = replace(table, labels=labels)
    codes = {name: random.integers(0, 16, (len(table), 1)).astype(np.uint8) for name in ("image", "report")}
    found = evaluate(codes, table, 8, resamples=5)
    idf = inverse_frequency(labels[table.split == "train"])
    rows = np.flatnonzero((table.split == "test") & labels.any(1))
    scores, means = [], []
    for query in rows:
        others = rows[table.study[rows] != table.study[query]]
        gain = gains(labels[[query]], labels[others], idf)[0]
        distance = np.bitwise_count(codes["report"][query] ^ codes["image"][others]).ravel()
        orders = [gain[np.lexsort((random.random(len(gain)), distance))] for _ in range(300)]
        scores.append(np.mean([plain_ndcg(order, 10) for order in orders]))
        means.append(gain.mean())
    score = found.score("nDCG@10", "report→image", "unseen")
    assert score.value == pytest.approx(np.mean(scores), abs=0.01)
    assert score.relevant_pairs == pytest.approx(np.mean(means))
    assert score.queries == len(rows)
    assert found.score("ACG@10", "report→image", "unseen").chance == pytest.approx(np.mean(means), rel=0.01)


def test_ties_are_named():
    with pytest.raises(InputError, match="worst"):
        ranking_of([[1.0]]).positions("average")
