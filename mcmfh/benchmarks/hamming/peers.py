"""The peers of the engine, each as a function of uint8 [Q, B] queries and k that returns (distances, ids).

faiss's hash indexes are exact only with enough flipped bits, and the number that suffices depends on the data. It is
raised until all answers have the distances of the exact index; that setting is measured.
"""

import time
from typing import Any

import numpy as np

from mcmfh.benchmarks.hamming.timing import Search
from mcmfh.errors import InputError


def import_peers() -> tuple[Any, Any]:
    """(faiss, usearch.index). Raises InputError where they are not installed."""
    try:
        import faiss
        import usearch.index
    except ImportError as error:
        raise InputError(f"the benchmark needs {error.name}; install it with: pip install 'mcmfh[bench]'") from error
    faiss.omp_set_num_threads(1)
    return faiss, usearch.index


def flat(codes: np.ndarray, padded_bits: int | None = None) -> Search:
    """faiss IndexBinaryFlat; `padded_bits` fills codes up with zeros, which at 32 bits takes its fast path."""
    faiss, _ = import_peers()
    width = codes.shape[1] if padded_bits is None else padded_bits // 8
    index = faiss.IndexBinaryFlat(8 * width)
    index.add(_widened(codes, width))
    if padded_bits is None:
        search: Search = index.search
        return search
    return lambda queries, k: index.search(_widened(queries, width), k)


def hash_index(codes: np.ndarray) -> Any:
    """faiss IndexBinaryHash at 16 bits, IndexBinaryMultiHash of 16-bit keys above."""
    faiss, _ = import_peers()
    bits = 8 * codes.shape[1]
    index = faiss.IndexBinaryHash(16, 16) if bits == 16 else faiss.IndexBinaryMultiHash(bits, bits // 16, 16)
    index.add(codes)
    return index


def flip_until_exact(index: Any, queries: np.ndarray, exact: np.ndarray, patience: float) -> bool:
    """Set the least number of flips that gives the distances `exact`, int32 [Q, k]; returns whether there is one.

    Gives up, with False, once answering these queries takes longer than `patience` seconds.
    """
    for flips in range(16):
        index.nflip = flips
        begun = time.perf_counter()
        if np.array_equal(index.search(queries, exact.shape[1])[0], exact):
            return True
        if time.perf_counter() - begun > patience:
            return False
    return False


def usearch_exact(codes: np.ndarray) -> Search:
    """usearch's exact search over bits."""
    _, usearch = import_peers()

    def search(queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        matches = usearch.search(codes, queries, k, usearch.MetricKind.Hamming, exact=True, threads=1)
        return matches.distances, matches.keys

    return search


def numpy_brute_force(codes: np.ndarray) -> Search:
    """What a user writes without a library: popcount of the XOR, a cut at the k-th distance, a small sort."""
    word = {2: np.uint16, 4: np.uint32}.get(codes.shape[1], np.uint64)
    words = codes.view(word)

    def one(query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        distances = np.bitwise_count(words[:, 0] ^ query[0])
        for column in range(1, words.shape[1]):
            distances = distances + np.bitwise_count(words[:, column] ^ query[column])
        limit = np.searchsorted(np.cumsum(np.bincount(distances)), k)
        near = np.flatnonzero(distances <= limit)
        near = near[np.argsort(distances[near], kind="stable")[:k]]
        return distances[near].astype(np.int32), near

    def search(queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        distances, ids = zip(*(one(query, k) for query in queries.view(word)))
        return np.stack(distances), np.stack(ids)

    return search


def flat_float(items: int) -> Search:
    """faiss IndexFlatIP over `items` random unit vectors of 512 floats: the same archive before hashing."""
    faiss, _ = import_peers()
    random = np.random.default_rng(0)
    index = faiss.IndexFlatIP(512)
    for start in range(0, items, 1 << 16):
        vectors = random.standard_normal((min(1 << 16, items - start), 512), np.float32)
        faiss.normalize_L2(vectors)
        index.add(vectors)
    vector = random.standard_normal((1, 512), np.float32)
    return lambda queries, k: index.search(np.repeat(vector, len(queries), axis=0), k)


def _widened(codes: np.ndarray, width: int) -> np.ndarray:
    wide = np.zeros((len(codes), width), np.uint8)
    wide[:, : codes.shape[1]] = codes
    return wide
