"""Tie-aware measures against every order of the ties, one by one, and against the plain sort-and-loop measures."""

from functools import partial
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmfh.errors import InputError
from mcmfh.evaluation import mean_average_precision
from mcmfh.evaluation.average_precision import average_precision
from mcmfh.evaluation.average_precision_dcmht import average_precision_dcmht
from mcmfh.evaluation.average_precision_ucmfh import average_precision_ucmfh
from mcmfh.evaluation.precision import precision
from mcmfh.evaluation.ranking import TiedRanking, rank_codes, rank_scores


# The measures by their definitions, of one strict order: hits = relevance of the items, nearest first.
def plain_ap(hits, at=None):
    at = len(hits) if at is None else at
    precisions = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return (precisions * hits)[:at].sum() / max(1, min(hits.sum(), at))


def plain_ucmfh(hits, at):
    top = hits[:at]
    return (np.cumsum(top) / np.arange(1, len(top) + 1))[top > 0].mean() if top.any() else 0.0


def plain_dcmht(hits, at):
    places = np.flatnonzero(hits)[:at] + 1.0
    return np.mean(np.arange(1, len(places) + 1) / places) if len(places) else 0.0


def plain_precision(hits, at):
    return hits[:at].sum() / at


MEASURES = [
    ("AP@all", plain_ap, average_precision),
    *((f"AP@{k}", partial(plain_ap, at=k), partial(average_precision, at=k)) for k in (1, 2, 4, 7, 30)),
    *((f"UCMFH@{k}", partial(plain_ucmfh, at=k), partial(average_precision_ucmfh, at=k)) for k in (1, 2, 4, 7, 30)),
    *((f"DCMHT@{k}", partial(plain_dcmht, at=k), partial(average_precision_dcmht, at=k)) for k in (1, 2, 3, 5, 30)),
    *((f"P@{k}", partial(plain_precision, at=k), partial(precision, at=k)) for k in (1, 2, 4, 7, 30)),
]


def every_order(steps):
    """All strict orders of a ranking given as [(irrelevant, relevant), …]; one relevance vector each."""
    orders = [np.zeros(0)]
    for misses, hits in steps:
        arrangements = [np.array(order, float) for order in permutations([0] * misses + [1] * hits)]
        orders = [np.concatenate([order, more]) for order in orders for more in arrangements]
    return orders


@pytest.mark.parametrize(("name", "plain", "fair"), MEASURES, ids=[name for name, _, _ in MEASURES])
@pytest.mark.parametrize(
    "steps",
    [
        [(2, 3)],
        [(1, 1), (0, 0), (2, 2)],
        [(0, 2), (3, 1), (1, 0)],
        [(4, 0), (0, 1)],
        [(3, 0)],
        [(0, 5), (1, 0)],
        [(1, 2), (2, 1)],
    ],
    ids=str,
)
def test_expectation_and_bounds_are_those_of_all_orders(name, plain, fair, steps):
    ranking = TiedRanking(np.array([[a + b for a, b in steps]]), np.array([[b for _, b in steps]]))
    scores = [plain(order) for order in every_order(steps)]
    assert fair(ranking)[0] == pytest.approx(np.mean(scores), abs=1e-12)
    assert fair(ranking, ties="worst")[0] == pytest.approx(min(scores), abs=1e-12)
    assert fair(ranking, ties="best")[0] == pytest.approx(max(scores), abs=1e-12)


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_without_ties_every_measure_is_the_plain_loop(seed, items, share):
    random = np.random.default_rng(seed)
    scores, relevant = random.permutation(items)[None] / 7.0, random.random((1, items)) < share
    hits = relevant[0][np.argsort(-scores[0])].astype(float)
    ranking = rank_scores(scores, relevant)
    for _, plain, fair in MEASURES:
        for ties in ("expected", "worst", "best"):
            assert fair(ranking, ties=ties)[0] == pytest.approx(plain(hits), abs=1e-12)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_large_ties_agree_with_sampled_orders(seed):
    random = np.random.default_rng(seed)
    distance = random.integers(0, 4, 120)
    relevant = random.random(120) < random.random()
    ranking = rank_scores(-distance[None].astype(float), relevant[None])
    orders = [np.lexsort((random.random(120), distance)) for _ in range(1500)]
    for plain, fair in (
        (partial(plain_ap, at=40), partial(average_precision, at=40)),
        (partial(plain_ucmfh, at=40), partial(average_precision_ucmfh, at=40)),
        (partial(plain_dcmht, at=25), partial(average_precision_dcmht, at=25)),
    ):
        sampled = np.array([plain(relevant[order].astype(float)) for order in orders])
        error = 6 * sampled.std() / np.sqrt(len(orders)) + 1e-9
        assert abs(fair(ranking)[0] - sampled.mean()) < error


def test_mean_average_precision_lies_between_the_naive_argsort_loops():
    """The published loop sorts by distance; its ties fall by item order. Averaged over item orders it is ours."""
    random = np.random.default_rng(5)
    query, database = (random.integers(0, 256, (n, 2), dtype=np.uint8) & 0x1F for n in (20, 150))
    query_labels, database_labels = (random.random((n, 6)) < 0.2 for n in (20, 150))

    def naive(order, at):
        scores = []
        for code, label in zip(query, query_labels):
            distance = np.bitwise_count(code ^ database[order]).sum(1)
            hits = (label & database_labels[order]).any(1)[np.argsort(distance, kind="stable")]
            scores.append(plain_ap(hits.astype(float), at))
        return np.mean(scores)

    for at in (None, 10):
        arguments = (query, database, query_labels, database_labels, 16, at)
        samples = [naive(random.permutation(150), at) for _ in range(400)]
        worst, best = (mean_average_precision(*arguments, ties=ties) for ties in ("worst", "best"))
        assert worst < min(samples) < max(samples) < best
        assert abs(mean_average_precision(*arguments) - np.mean(samples)) < 5 * np.std(samples) / 20


def test_the_own_item_is_left_out():
    random = np.random.default_rng(1)
    codes, labels = random.integers(0, 256, (40, 2), dtype=np.uint8), random.random((40, 3)) < 0.4
    study = np.array([f"s{i // 2}" for i in range(40)])
    ranking = rank_codes(codes[:7], codes, labels[:7], labels, 16, own=(study[:7], study))
    for query in range(7):
        others = study != study[query]
        alone = rank_codes(codes[query : query + 1], codes[others], labels[query : query + 1], labels[others], 16)
        np.testing.assert_array_equal(ranking.items[query], alone.items[0])
        np.testing.assert_array_equal(ranking.relevant[query], alone.relevant[0])


def test_random_order_is_the_mean_over_random_orders():
    random = np.random.default_rng(2)
    hits = (np.arange(60) < 13).astype(float)
    ranking = TiedRanking(np.array([[20, 40]]), np.array([[13, 0]])).shuffled()
    samples = [plain_ap(random.permutation(hits)) for _ in range(4000)]
    assert average_precision(ranking)[0] == pytest.approx(np.mean(samples), abs=5 * np.std(samples) / 63)
    assert ranking.chance == pytest.approx(13 / 60)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_head_keeps_what_the_first_items_decide(seed, at):
    random = np.random.default_rng(seed)
    items = random.integers(0, 5, (6, 30)) * (random.random((6, 30)) < 0.5)
    ranking = TiedRanking(items, random.integers(0, items + 1))
    for measure in (average_precision, average_precision_ucmfh, precision):
        for ties in ("expected", "worst", "best"):
            short, long = (measure(each, at=at, ties=ties) for each in (ranking.head(at), ranking))
            np.testing.assert_allclose(short, long, atol=1e-12)


def test_ties_are_named():
    with pytest.raises(InputError, match="worst"):
        TiedRanking(np.ones((1, 1), int), np.ones((1, 1), int)).resolved("average")


def test_the_expectation_is_what_random_orders_of_the_ties_give_on_average():
    random = np.random.default_rng(0)
    clusters, labels = random.integers(0, 256, (300, 2), dtype=np.uint8), random.random((300, 14)) < 0.1
    of = random.integers(0, 300, 20_300)
    codes, labels = clusters[of] ^ (1 << random.integers(0, 16, (20_300, 2))).astype(np.uint8), labels[of]
    queries, items = slice(0, 300), slice(300, None)
    ours = mean_average_precision(codes[queries], codes[items], labels[queries], labels[items])
    drawn = []
    for code, truth in zip(codes[queries], labels[queries]):
        order = np.lexsort((random.random(20_000), np.bitwise_count(code ^ codes[items]).sum(1)))
        drawn.append(plain_ap((truth & labels[items]).any(1)[order].astype(float)))
    assert ours == pytest.approx(np.mean(drawn), abs=0.002)
