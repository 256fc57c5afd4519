"""Distance histograms against a straightforward count over the unpacked bits."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmfh.errors import InputError
from mcmfh.hamming.histograms import distance_histograms


def reference(query_codes, database_codes, query_labels, database_labels, bits):
    q, n = (np.unpackbits(c, axis=1, bitorder="little").astype(int) for c in (query_codes, database_codes))
    distance = (q[:, None] != n[None]).sum(2)
    shares = (query_labels[:, None] & database_labels[None]).any(2)
    rings = np.arange(bits + 1)
    return (distance[..., None] == rings).sum(1), ((distance[..., None] == rings) & shares[..., None]).sum(1)


@settings(deadline=None, max_examples=60)
@given(
    bits=st.sampled_from([8, 16, 24, 32, 64, 128, 256, 512]),
    queries=st.integers(0, 5),
    items=st.sampled_from([0, 1, 3, 50, 2047, 2048, 2049, 4097, 8200]),
    classes=st.sampled_from([0, 1, 14, 64, 65, 200]),
    threads=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_equals_the_plain_count(bits, queries, items, classes, threads, seed):
    random = np.random.default_rng(seed)
    codes = [random.integers(0, 256, (n, bits // 8), dtype=np.uint8) for n in (queries, items)]
    labels = [random.random((n, classes)) < 0.05 for n in (queries, items)]
    got = distance_histograms(*codes, *labels, bits, threads=threads)
    for ours, expected in zip(got, reference(*codes, *labels, bits)):
        np.testing.assert_array_equal(ours, expected)


def test_memory_does_not_grow_with_queries_times_items():
    random = np.random.default_rng(0)
    codes, labels = random.integers(0, 256, (20_000, 2), dtype=np.uint8), random.random((20_000, 14)) < 0.1
    peaks = []
    for queries in (100, 2000):
        tracemalloc.start()
        distance_histograms(codes[:queries], codes, labels[:queries], labels, 16)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 2000 * 1000, "tables of a few hundred bytes a query"


def test_extreme_distances_are_counted_in_full():
    zeros, ones = np.zeros((1, 64), np.uint8), np.full((300, 64), 255, np.uint8)
    items, relevant = distance_histograms(zeros, ones, np.ones((1, 1), bool), np.ones((300, 1), bool), 512)
    assert items[0, 512] == relevant[0, 512] == items.sum() == 300


@pytest.mark.parametrize("labels", [np.ones((3, 2), bool), np.ones((4, 3), bool), np.ones((4, 2), int)])
def test_labels_that_do_not_fit_are_refused(labels):
    codes = np.zeros((4, 2), np.uint8)
    with pytest.raises(InputError, match="labels"):
        distance_histograms(codes, codes, np.ones((4, 2), bool), labels, 16)
