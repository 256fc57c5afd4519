"""The measurements of the Hamming engine and its peers.

For one archive at a time: draw codes, build every contestant, check that all answers are equal, then time them in
turns. A measurement is a row {bits, kind, n, k, mode, threads, engine, seconds}; a promise is a ratio of two of them.
"""

import gc
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from mcmfh.benchmarks.hamming import peers
from mcmfh.benchmarks.hamming.archives import draw_codes
from mcmfh.benchmarks.hamming.timing import Search, batch_times, single_query_times
from mcmfh.hamming import HammingIndex, merge_answers
from mcmfh.hamming.histograms import distance_histograms
from mcmfh.hamming.multi_index import MultiIndex

SIZES = (10**5, 10**6, 10**7, 10**8)
QUERIES = 2000
SMALL = "mcmfh, first 10⁵ items only"
_ALL = np.empty(0, np.uint8)
Rows = list[dict[str, Any]]


def run_suite(sizes: Sequence[int] = SIZES, say: Callable[[str], None] = print, budget: float = 0.3) -> dict[str, Any]:
    """All measurements on archives of these sizes, beyond 10⁷ at 16 bits only: {"times", "checks", "facts"}.

    `budget` is the processor time in seconds given to each contestant for single queries on an archive.
    """
    times: Rows = []
    checks: list[str] = []
    facts: dict[str, Any] = {}
    for bits in (16, 32, 64, 128):
        for n in sizes if bits == 16 else [n for n in sizes if n <= 10**7]:
            for kind in ("uniform", "clustered"):
                begun = time.perf_counter()
                rows = measure_archive(bits, kind, n, checks, budget)
                times += rows
                gc.collect()
                own = next(r["seconds"] for r in rows if r["engine"] == "mcmfh") * 1e6
                elapsed = time.perf_counter() - begun
                say(f"{bits:4} bits, {kind:9} {n:11,} items: {own:9.1f} µs a query, measured in {elapsed:.0f} s")
    for n in sizes[:2]:
        floats: dict[str, Search] = {"": peers.flat_float(n)}
        seconds = single_query_times(floats, np.zeros((20, 2), np.uint8), 10)[""]
        times.append(_row(16, "float", n, 10, "faiss IndexFlatIP, 512 floats", seconds))
    facts["histograms"] = measure_histograms()
    say(f"tables for tie-aware mAP: {facts['histograms']['ratio']:.0f} × the argsort loop")
    return {"times": times, "checks": checks, "facts": facts}


def measure_archive(bits: int, kind: str, n: int, checks: list[str], budget: float) -> Rows:
    """Every contestant on one archive; appends a line to `checks` for each comparison of answers that held."""
    codes, queries = draw_codes(kind, n, bits, QUERIES)
    index = HammingIndex(codes)
    sample = queries[: 10 if n > 10**7 else 50 if n > 10**6 else 200]
    few = queries[: 8 if n > 10**6 else 100]
    name = f"{bits} bits, {kind}, {n:,}"
    faiss = peers.import_peers()[0]
    flat, others, hashed = peers.flat(codes), own_ways(index), None
    if n <= 10**7:
        others["numpy"] = peers.numpy_brute_force(codes)
        hashed = peers.hash_index(codes) if bits == 16 or n <= 10**6 else None
        if n <= 10**6:
            others["usearch exact"] = peers.usearch_exact(codes)
        if bits == 16:
            others["faiss Flat, padded to 32"] = peers.flat(codes, padded_bits=32)
    if (
        bits == 16 and n > 10**5
    ):  # timed in the same turns, so that a slower machine does not look like growth with the archive
        others[SMALL] = HammingIndex(codes[: 10**5]).search
    rows: Rows = []
    for k in (10, 100):
        begun = time.perf_counter()
        exact = flat(sample, k)
        flat_time = time.perf_counter() - begun
        _check(index.search(sample, k), exact, f"{name}, k={k}: equal to IndexBinaryFlat", checks)
        if "numpy" in others:
            few_exact = [answer[:5] for answer in exact]
            _check(others["numpy"](sample[:5], k), few_exact, f"{name}, k={k}: equal to numpy's brute force", checks)
        contestants = {"mcmfh": index.search, "faiss Flat": flat, **others}
        if hashed is not None and peers.flip_until_exact(hashed, sample, exact[0], patience=10 * flat_time):
            contestants[f"faiss {'Hash' if bits == 16 else 'MultiHash'}, exact"] = hashed.search
        taken = single_query_times(contestants, queries, k, budget=budget if k == 10 else budget / 3)
        rows += [_row(bits, kind, n, k, engine, seconds) for engine, seconds in taken.items()]
        for threads in (1, 2) if k == 10 else (1,):
            faiss.omp_set_num_threads(threads)
            own = partial(index.search, k=k, threads=threads)
            clock = time.process_time if threads == 1 else time.perf_counter
            taken = batch_times({"mcmfh": (own, queries), "faiss Flat": (partial(flat, k=k), few)}, clock)
            rows += [_row(bits, kind, n, k, engine, s, "batch", threads) for engine, s in taken.items()]
        faiss.omp_set_num_threads(1)
    if n <= 10**6:
        check_variants(index, codes, sample[:50], name, checks)
    if bits == 64 and n >= 10**6:
        layouts: dict[str, Search] = {
            "own layout inline": index.search,
            "own layout reference": HammingIndex(codes, layout="reference").search,
        }
        taken = single_query_times(layouts, queries, 10, budget=budget)
        rows += [_row(bits, kind, n, 10, layout, seconds) for layout, seconds in taken.items()]
    return rows


def own_ways(index: HammingIndex) -> dict[str, Search]:
    """The tables and the scan of a multi-index, each answering alone; {} for an index that has only one of them."""
    base = index._state.base
    if not isinstance(base, MultiIndex):
        return {}
    never = np.array([*base.costs[:2], np.inf, np.inf])
    tables = MultiIndex(base.scan, base.offsets, base.bucket_rows, base.rest, never)
    return {
        "own tables only": lambda queries, k: tables.search(queries, k, _ALL, _ALL, index.bits),
        "own scan only": lambda queries, k: base.scan.search(queries, k, _ALL, _ALL, index.bits),
    }


def check_variants(index: HammingIndex, codes: np.ndarray, queries: np.ndarray, name: str, checks: list[str]) -> None:
    """Compare a sharded, a filtered and a changed index with IndexBinaryFlat over the items that each should hold."""
    n, bits, third = len(codes), index.bits, -(-len(codes) // 3)
    random = np.random.default_rng(1)
    exact = peers.flat(codes)(queries, 10)
    parts = [
        HammingIndex(codes[first : first + third], np.arange(first, min(n, first + third)))
        for first in range(0, n, third)
    ]
    merged = merge_answers([part.search(queries, 10) for part in parts], 10)
    _check(merged, exact, f"{name}: three shards merged", checks)
    kept = random.random(n) < 0.1
    distances, rows = peers.flat(codes[kept])(queries, 10)
    filtered = index.search(queries, 10, allowed=kept)
    _check(filtered, (distances, np.flatnonzero(kept)[rows]), f"{name}: filtered to a tenth", checks)
    gone, more = random.choice(n, n // 100, replace=False), draw_codes("uniform", 1000, bits, 0, seed=2)[0]
    index.remove(gone)
    index.add(more)
    stay = np.setdiff1d(np.arange(n + 1000), gone)
    distances, rows = peers.flat(np.concatenate([codes, more])[stay])(queries, 10)
    _check(index.search(queries, 10), (distances, stay[rows]), f"{name}: after add and remove", checks)


def measure_histograms() -> dict[str, float]:
    """Seconds a query of the tie-aware tables and of the loop in published repositories (dot products and argsort)."""
    random = np.random.default_rng(0)
    (database, queries), classes = draw_codes("clustered", 20_000, 16, 2000), 14
    labels, query_labels = random.random((20_000, classes)) < 0.1, random.random((2000, classes)) < 0.1
    label_truth, query_truth = labels.astype(np.float32), query_labels.astype(np.float32)
    signs, query_signs = (np.unpackbits(c, axis=1).astype(np.float32) * 2 - 1 for c in (database, queries))

    def loop(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        total = 0.0
        for row in rows:
            truth = (query_truth[row] @ label_truth.T > 0).astype(np.float32)
            order = np.argsort(0.5 * (16 - query_signs[row] @ signs.T))
            hits = np.flatnonzero(truth[order]) + 1.0
            total += float(np.mean(np.arange(1, len(hits) + 1) / hits)) if len(hits) else 0.0
        return np.array(total), order

    def tables(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return distance_histograms(queries[rows], database, query_labels[rows], labels, 16)

    everything = np.arange(2000)
    contestants: dict[str, tuple[Search, np.ndarray]] = {
        "loop": (loop, everything[:100]),
        "tables": (tables, everything),
    }
    taken = batch_times(contestants, time.process_time, rounds=5)
    return {**taken, "ratio": taken["loop"] / taken["tables"]}


def _row(
    bits: int, kind: str, n: int, k: int, engine: str, seconds: float, mode: str = "single", threads: int = 1
) -> dict[str, Any]:
    setup = {"bits": bits, "kind": kind, "n": n, "k": k, "mode": mode, "threads": threads}
    return {**setup, "engine": engine, "seconds": seconds}


def _check(got: tuple[np.ndarray, np.ndarray], expected: Sequence[np.ndarray], what: str, checks: list[str]) -> None:
    if not all(np.array_equal(ours, theirs) for ours, theirs in zip(got, expected)):
        raise AssertionError(f"{what}: answers differ")
    checks.append(what)
