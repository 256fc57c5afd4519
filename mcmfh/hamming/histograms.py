"""How many items, and how many relevant ones, lie at each Hamming distance from each query.

Every ranking measure that treats ties fairly is a function of these two small tables (McSherry & Najork 2008), so no
ranking is sorted. The work is Q x N popcounts in cache-sized blocks. Memory holds the two tables and the packed inputs
only.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import types

from mcmfh.errors import InputError
from mcmfh.hamming import short_histograms
from mcmfh.hamming.codes import check_codes, planes
from mcmfh.hamming.intrinsics import compiled, popcount

_WORDS = types.Array(types.uint16, 2, "C", readonly=True)
_COUNTS = types.Array(types.int64, 2, "C")
# Fills the rows of items and relevant that belong to a slice of the queries.
Count = Callable[[slice, np.ndarray, np.ndarray], None]


def distance_histograms(
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
    bits: int,
    threads: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """Items and relevant items at each distance; an item is relevant when it shares a label with the query.

    Codes are uint8 [Q, B] and [N, B], labels bool [Q, C] and [N, C] with any C. Returns two int64 arrays
    [Q, bits + 1]: entry d counts the items at Hamming distance d. Raises InputError when shapes disagree.
    """
    query_codes = check_codes(query_codes, bits, "query codes")
    database_codes = check_codes(database_codes, bits, "database codes")
    _check_labels(query_labels, query_codes)
    _check_labels(database_labels, database_codes)
    if query_labels.shape[1] != database_labels.shape[1]:
        raise InputError(
            f"query labels have {query_labels.shape[1]} classes, database labels {database_labels.shape[1]}; "
            "give both the same columns"
        )
    items = np.zeros((len(query_codes), bits + 1), np.int64)
    relevant = np.zeros_like(items)
    prepare = _short if bits <= short_histograms.BITS else _long
    count = prepare(query_codes, database_codes, query_labels, database_labels, bits)
    edges = np.linspace(0, len(items), max(1, threads) + 1).astype(int)
    with ThreadPoolExecutor(max(1, threads)) as pool:
        list(pool.map(lambda rows: count(rows, items[rows], relevant[rows]), map(slice, edges[:-1], edges[1:])))
    return items, relevant


def _check_labels(labels: np.ndarray, codes: np.ndarray) -> None:
    if labels.dtype != np.bool_ or labels.ndim != 2 or len(labels) != len(codes):
        raise InputError(
            f"labels must be a bool array of shape [{len(codes)}, C], not {labels.dtype} {list(labels.shape)}"
        )


def _short(
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
    bits: int,
) -> Count:
    query_bits, database_bits = (
        np.unpackbits(codes, axis=1, count=bits, bitorder="little").view(bool)
        for codes in (query_codes, database_codes)
    )
    query_labels = np.ascontiguousarray(query_labels)
    code_planes = short_histograms.bit_planes(database_bits, short_histograms.BITS)
    label_planes = short_histograms.bit_planes(database_labels, database_labels.shape[1])
    n = len(database_codes)

    def count(rows: slice, items: np.ndarray, relevant: np.ndarray) -> None:
        short_histograms.fill(query_bits[rows], query_labels[rows], code_planes, label_planes, n, items, relevant)

    return count


def _long(
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
    bits: int,
) -> Count:
    q_codes, n_codes = planes(query_codes, np.uint16), planes(database_codes, np.uint16)
    q_labels, n_labels = (
        planes(np.packbits(labels, axis=1, bitorder="little"), np.uint16) for labels in (query_labels, database_labels)
    )
    kernel = compiled(_count, types.void(_WORDS, _WORDS, _WORDS, _WORDS, _COUNTS, _COUNTS))

    def count(rows: slice, items: np.ndarray, relevant: np.ndarray) -> None:
        queries, labels = np.ascontiguousarray(q_codes[:, rows]), np.ascontiguousarray(q_labels[:, rows])
        kernel(queries, n_codes, labels, n_labels, items, relevant)

    return count


def _count(
    q_codes: np.ndarray,
    n_codes: np.ndarray,
    q_labels: np.ndarray,
    n_labels: np.ndarray,
    items: np.ndarray,
    relevant: np.ndarray,
) -> None:
    queries, n, bins, block = q_codes.shape[1], n_codes.shape[1], items.shape[1], 2048
    distance, shared = np.empty(block, np.uint16), np.empty(block, np.uint16)
    # Four counters a bin: neighbours often have equal distances, and increments of one counter wait for each other.
    counts = np.empty((4, 2 * bins), np.int64)
    for q in range(queries):
        counts[:] = 0
        for start in range(0, n, block):
            m = min(block, n - start)
            distance[:] = 0
            shared[:] = 0
            for p in range(n_codes.shape[0]):
                words, word = n_codes[p, start : start + m], q_codes[p, q]
                for j in range(m):
                    distance[j] += popcount(np.uint16(words[j] ^ word))
            for p in range(n_labels.shape[0]):
                words, word = n_labels[p, start : start + m], q_labels[p, q]
                for j in range(m):
                    shared[j] |= words[j] & word
            for j in range(m):
                distance[j] += np.uint16(bins) if shared[j] else np.uint16(0)
            for j in range(m // 4):
                counts[0, distance[4 * j]] += 1
                counts[1, distance[4 * j + 1]] += 1
                counts[2, distance[4 * j + 2]] += 1
                counts[3, distance[4 * j + 3]] += 1
            for j in range(m // 4 * 4, m):
                counts[0, distance[j]] += 1
        for d in range(bins):
            for u in range(4):
                relevant[q, d] += counts[u, bins + d]
                items[q, d] += counts[u, d] + counts[u, bins + d]
