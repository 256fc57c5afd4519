"""Every way to search against the brute force: same distances, same ids, same order, same padding."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.hamming_reference import nearest, random_codes, ranking

from mcmfh.errors import InputError
from mcmfh.hamming import HammingIndex, merge_answers
from mcmfh.hamming.multi_index import MultiIndex

BITS = [4, 8, 12, 16, 20, 22, 23, 24, 32, 40, 48, 64, 96, 128, 200, 512]
KINDS = ["uniform", "few", "one", "near"]
archives = {
    "bits": st.sampled_from(BITS),
    "n": st.sampled_from([0, 1, 2, 31, 64, 299, 300, 301, 1500]),
    "k": st.sampled_from([1, 2, 10, 33, 100, 2000]),
    "kind": st.sampled_from(KINDS),
    "layout": st.sampled_from(["inline", "reference"]),
    "seed": st.integers(0, 2**32 - 1),
}
property_test = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def equal(got, expected):
    for ours, theirs in zip(got, expected):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def queries_for(random, codes, bits):
    """Strangers, stored codes, and stored codes with every bit turned: the farthest there can be."""
    known = codes[random.integers(0, len(codes), 2)] if len(codes) else codes
    turned = np.bitwise_not(known)
    if bits % 8:
        turned[:, -1] &= (1 << bits % 8) - 1
    return np.concatenate([random_codes(random, 3, bits), known, turned])


@property_test
@given(**archives, threads=st.integers(1, 3))
def test_search_equals_brute_force(bits, n, k, kind, layout, seed, threads):
    random = np.random.default_rng(seed)
    codes = random_codes(random, n, bits, kind)
    queries = queries_for(random, codes, bits)
    index = HammingIndex(codes, bits=bits, layout=layout)
    assert len(index) == n
    equal(index.search(queries, k, threads=threads), nearest(codes, np.arange(n), queries, k))


@property_test
@given(**archives, radius=st.integers(0, 40), share=st.sampled_from([0.0, 0.01, 0.5, 1.0]))
def test_filters_and_radius(bits, n, k, kind, layout, seed, radius, share):
    random = np.random.default_rng(seed)
    codes, ids = random_codes(random, n, bits, kind), random.permutation(10 * n)[:n]
    queries = queries_for(random, codes, bits)
    index = HammingIndex(codes, ids, bits=bits, layout=layout)
    allowed = random.random(n) < share
    admitted = np.isin(ids, index.ids[allowed])
    expected = codes[admitted], ids[admitted]
    equal(index.search(queries, k, allowed=allowed), nearest(*expected, queries, k))
    equal(index.search(queries, k, radius=radius), nearest(codes, ids, queries, k, radius))
    for query in queries[:2]:
        distances, order = ranking(*expected, query)
        equal(index.within(query, radius, allowed), (distances[distances <= radius], order[distances <= radius]))
        rings = list(index.rings(query, allowed))
        assert [d for d, _ in rings] == sorted(set(distances.tolist()))
        np.testing.assert_array_equal(np.concatenate([np.empty(0, int), *(i for _, i in rings)]), order)


@property_test
@given(**archives)
def test_updates(tmp_path_factory, bits, n, k, kind, layout, seed):
    """Adding, removing, replacing, compacting, saving: at each step the index equals one built from what it holds."""
    random = np.random.default_rng(seed)
    codes, ids = random_codes(random, n, bits, kind), np.arange(n)
    if seed % 2:
        ids = np.sort(random.permutation(3 * n)[:n])
    index = HammingIndex(codes, None if seed % 2 == 0 else ids, bits=bits, layout=layout)
    queries = queries_for(random, codes, bits)
    path = tmp_path_factory.mktemp("index") / "archive.index"
    for step in ("add", "remove", "replace", "remove", "compact", "add", "save", "remove"):
        if step == "add":
            more = random_codes(random, 20, bits, kind)
            new = index.ids.max(initial=-1) + 1 + np.arange(20)
            index.add(more, None if seed % 3 else new)
            codes, ids = np.concatenate([codes, more]), np.concatenate([ids, new])
        elif step == "remove":
            gone = random.choice(ids, min(len(ids), 7), replace=False)
            index.remove(gone)
            codes, ids = codes[~np.isin(ids, gone)], ids[~np.isin(ids, gone)]
        elif step == "replace" and len(ids):
            again = random.choice(ids, min(len(ids), 3), replace=False)
            more = random_codes(random, len(again), bits)
            index.remove(again)
            index.add(more, again)
            codes = np.concatenate([codes[~np.isin(ids, again)], more])
            ids = np.concatenate([ids[~np.isin(ids, again)], again])
        elif step == "compact":
            index.compact()
        elif step == "save":
            index.save(path)
            index = HammingIndex.open(path, verify=True)
        assert len(index) == len(ids)
        equal(index.search(queries, k), nearest(codes, ids, queries, k))
        allowed = index.ids % 2 == 0
        equal(index.search(queries, k, allowed), nearest(codes[ids % 2 == 0], ids[ids % 2 == 0], queries, k))


@property_test
@given(**archives, shards=st.integers(1, 6))
def test_shards_merge_to_the_whole(bits, n, k, kind, layout, seed, shards):
    random = np.random.default_rng(seed)
    codes, ids = random_codes(random, n, bits, kind), random.permutation(2 * n)[:n]
    queries = queries_for(random, codes, bits)
    parts = [
        HammingIndex(codes[rows], ids[rows], bits=bits, layout=layout).search(queries, k)
        for rows in np.array_split(random.permutation(n), shards)
    ]
    equal(merge_answers(parts, k), nearest(codes, ids, queries, k))


def test_every_16_bit_code_at_once():
    codes = np.arange(1 << 16, dtype="<u2").view(np.uint8).reshape(-1, 2)
    shuffled = np.random.default_rng(0).permutation(1 << 16)
    index = HammingIndex(codes[shuffled])
    queries = codes[::9999]
    equal(index.search(queries, 300), nearest(codes[shuffled], np.arange(1 << 16), queries, 300))


@pytest.mark.parametrize("layout", ["inline", "reference"])
@pytest.mark.parametrize("kind", ["uniform", "near"])
@pytest.mark.parametrize("bits", [32, 64, 128])
def test_both_ways_of_a_multi_index_and_its_own_choice(bits, kind, layout):
    """The tables alone, the scan alone and the choice between them give one answer, single and in a batch."""
    random = np.random.default_rng(bits)
    codes = random_codes(random, 40_000, bits, kind)
    queries = queries_for(random, codes, bits)
    index = HammingIndex(codes, layout=layout)
    base = index._state.base
    assert isinstance(base, MultiIndex)
    expected = nearest(codes, np.arange(len(codes)), queries, 10)
    measured = base.costs
    for scan_cost in (measured[2:], [np.inf, np.inf], [1e-12, 1e-12]):
        costs = np.array([*measured[:2], *scan_cost])
        way = MultiIndex(base.scan, base.offsets, base.bucket_rows, base.rest, costs)
        index._state = index._state._replace(base=way)
        equal(index.search(queries, 10), expected)
        equal(index.search(queries[3:4], 10), (expected[0][3:4], expected[1][3:4]))


@pytest.mark.parametrize("bits", [16, 64])
def test_the_same_as_faiss(bits):
    faiss = pytest.importorskip("faiss")
    random = np.random.default_rng(1)
    codes, queries = random_codes(random, 5000, bits, "near"), random_codes(random, 50, bits)
    flat = faiss.IndexBinaryFlat(bits)
    flat.add(codes)
    equal(HammingIndex(codes).search(queries, 20), flat.search(queries, 20))


def test_strided_queries_and_filters_are_taken():
    random = np.random.default_rng(2)
    codes = random_codes(random, 500, 16)
    index, queries, allowed = HammingIndex(codes), codes[:40:4], (random.random(1000) < 0.5)[::2]
    equal(index.search(queries, 5, allowed), nearest(codes[allowed], np.flatnonzero(allowed), queries, 5))
    queries = np.asfortranarray(queries)
    queries.flags.writeable = False
    equal(index.search(queries, 5), nearest(codes, np.arange(500), queries, 5))


def test_many_additions_are_compacted_by_themselves():
    random = np.random.default_rng(3)
    codes = random_codes(random, 70_000, 16)
    index = HammingIndex(codes[:10])
    index.add(codes[10:])
    assert index._state.added is None
    equal(index.search(codes[:5], 10), nearest(codes, np.arange(len(codes)), codes[:5], 10))


@pytest.mark.parametrize(
    ("call", "culprit"),
    [
        (lambda index: index.search(np.zeros((1, 3), np.uint8)), "queries must be"),
        (lambda index: index.search(np.zeros((1, 2), np.int8)), "queries must be"),
        (lambda index: index.search(np.zeros((1, 2), np.uint8), k=0), "k must be"),
        (lambda index: index.search(np.zeros((1, 2), np.uint8), allowed=np.ones(4, bool)), "allowed must be"),
        (lambda index: index.search(np.zeros((1, 2), np.uint8), allowed=np.ones(5, int)), "allowed must be"),
        (lambda index: index.add(np.zeros((1, 2), np.uint8), [4]), "id 4 is in the index"),
        (lambda index: index.add(np.zeros((2, 2), np.uint8), [7, 7]), "distinct"),
        (lambda index: index.add(np.zeros((1, 2), np.uint8), [-1]), "negative"),
        (lambda index: index.add(np.zeros((1, 2), np.uint8), [1, 2]), "ids must be"),
        (lambda index: index.remove([5]), "id 5 is not"),
        (lambda index: HammingIndex(np.zeros((2, 65), np.uint8)), "520 bits"),
        (lambda index: HammingIndex(np.full((1, 3), 255, np.uint8), bits=20), "beyond the first 20"),
        (lambda index: HammingIndex(np.zeros((1, 2)), bits=16), "uint8"),
    ],
)
def test_faulty_input_is_named(call, culprit):
    with pytest.raises(InputError, match=culprit):
        call(HammingIndex(np.zeros((5, 2), np.uint8)))
