"""Re-ranking against the sum over unpacked bits, one item at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.hamming_reference import random_codes, ranking

from mcmfh.errors import InputError
from mcmfh.hamming import HammingIndex, rerank_by_code, rerank_by_logits
from mcmfh.hamming.rerank import score_table


@settings(deadline=None, max_examples=40)
@given(bits=st.sampled_from([8, 12, 16, 64, 128]), k=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
def test_logits_order_the_shortlist(bits, k, seed):
    random = np.random.default_rng(seed)
    codes, logits = random_codes(random, 30, bits, "few"), random.standard_normal((3, bits)).astype(np.float32)
    queries = np.packbits(logits > 0, axis=1, bitorder="little")
    _, ids = HammingIndex(codes, bits=bits).search(queries, k)
    scores, order = rerank_by_logits(ids, logits, codes)
    signs = np.unpackbits(codes, axis=1, count=bits, bitorder="little").astype(np.float64) * 2 - 1
    for query, (score, row) in enumerate(zip(scores, order)):
        found = row >= 0
        assert sorted(row) == sorted(ids[query])
        np.testing.assert_allclose(score[found], signs[row[found]] @ logits[query], atol=1e-4)
        assert (np.isneginf(score) == ~found).all()
        assert (np.diff(score[found]) <= 0).all()
        ties = np.diff(score[found]) == 0
        assert (np.diff(row[found])[ties] > 0).all()


def test_a_table_of_all_16_bit_codes_scores_as_the_shortlist_does():
    random = np.random.default_rng(0)
    logits, codes = random.standard_normal((2, 16)).astype(np.float32), random_codes(random, 50, 16)
    ids = np.broadcast_to(np.arange(50), (2, 50))
    scores, order = rerank_by_logits(ids, logits, codes)
    np.testing.assert_allclose(
        np.take_along_axis(score_table(logits), codes.view("<u2")[order, 0], 1), scores, atol=1e-5
    )


@settings(deadline=None, max_examples=40)
@given(k=st.integers(1, 60), seed=st.integers(0, 2**32 - 1))
def test_a_longer_code_orders_the_shortlist(k, seed):
    random = np.random.default_rng(seed)
    longer = random_codes(random, 40, 64, "few")
    shorter, query = longer[:, :2].copy(), random_codes(random, 1, 64)
    _, ids = HammingIndex(shorter).search(query[:, :2].copy(), k)
    distances, order = rerank_by_code(ids, query, longer)
    found = ids[0][ids[0] >= 0]
    expected = ranking(longer[found], found, query[0])
    np.testing.assert_array_equal(distances[0, : len(found)], expected[0])
    np.testing.assert_array_equal(order[0, : len(found)], expected[1])
    assert (order[0, len(found) :] == -1).all()


def test_a_column_of_another_length_is_refused():
    with pytest.raises(InputError, match="column"):
        rerank_by_logits(np.zeros((1, 1), np.int64), np.zeros((1, 16), np.float32), np.zeros((5, 4), np.uint8))
