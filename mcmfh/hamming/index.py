"""The index a user holds: codes with ids, searched exactly, changed in memory, saved to one file.

What never changes (a bucket table, a multi-index or a plain scan) is the base; items added since stand in a small scan
beside it, removed ones in a bitmap. All of it is one immutable state, replaced as a whole: a search that runs while
another thread adds or removes sees the index as it was before or after, never between. Changes are for one thread at a
time.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np

from mcmfh.errors import InputError
from mcmfh.hamming import bucket_table, engine_arrays, multi_index
from mcmfh.hamming.bucket_table import BucketTable
from mcmfh.hamming.codes import check_codes, code_bytes
from mcmfh.hamming.index_file import open_arrays, save_arrays
from mcmfh.hamming.merge import merge_answers
from mcmfh.hamming.multi_index import MultiIndex
from mcmfh.hamming.scan import Scan

Layout = Literal["inline", "reference"]
MAX_ROWS = 2**32 - 1
# Added items beyond which adding compacts: comparing them all would begin to show in a query's time.
_MAX_ADDED = 1 << 16
_ALL = np.empty(0, np.uint8)
_BYTE = np.dtype(np.uint8)


class Engine(Protocol):
    """What searches the base. `allowed` uint8 [N] and `dead` uint8 [N/8] are empty where nothing is excluded."""

    rows: int

    def search(
        self, queries: np.ndarray, k: int, allowed: np.ndarray, dead: np.ndarray, radius: int
    ) -> tuple[np.ndarray, np.ndarray]: ...

    def codes(self) -> np.ndarray: ...


class _State(NamedTuple):
    base: Engine
    ids: np.ndarray | None  # int64, ascending; None: ids are rows
    dead: np.ndarray  # uint8 bitmap over the base's rows, or empty
    added: Scan | None
    added_ids: np.ndarray  # int64, ascending


class HammingIndex:
    """Exact nearest codes in Hamming distance, in the order (distance, id)."""

    def __init__(
        self,
        codes: np.ndarray,
        ids: np.ndarray | None = None,
        bits: int | None = None,
        layout: Layout = "inline",
    ):
        """Build over `codes` uint8 [N, B], little-endian bit order, of `bits` bits (default 8 B).

        `ids` int64 [N], distinct and not negative; by default the rows 0 … N - 1, which cost no memory. `layout`
        matters above 22 bits: "inline" is several times as fast, "reference" takes half the memory. Raises InputError.
        """
        if bits is None:
            bits = 8 * np.asarray(codes).shape[-1]
        codes = check_codes(codes, bits)
        if len(codes) > MAX_ROWS:
            raise InputError(f"an index holds at most {MAX_ROWS} codes, not {len(codes)}; split them into shards")
        self.bits, self.layout = bits, layout
        self._width = code_bytes(bits) if bits % 8 == 0 else -1  # -1: queries must be looked at for stray bits
        if ids is not None:
            codes, ids = _by_id(codes, _check_ids(ids, len(codes)))
        self._state = self._built(codes, ids)

    def _built(self, codes: np.ndarray, ids: np.ndarray | None) -> _State:
        base: Engine
        if self.bits <= bucket_table.MAX_BITS:
            base = BucketTable.build(codes, self.bits)
        elif len(codes) < multi_index.LEAST_ROWS:
            base = Scan.build(codes, self.bits)
        else:
            base = MultiIndex.build(codes, self.bits, self.layout == "inline")
        if ids is not None and (not len(ids) or ids[-1] == len(ids) - 1):  # ascending from 0 without a gap
            ids = None
        return _State(base, ids, _ALL, None, np.empty(0, np.int64))

    def __len__(self) -> int:
        base, _, dead, _, added_ids = self._state
        return base.rows - int(np.bitwise_count(dead).sum()) + len(added_ids)

    @property
    def ids(self) -> np.ndarray:
        """int64: the id of each row, removed ones included until `compact`. A filter speaks of rows in this order."""
        base, ids, _, _, added_ids = self._state
        ids = np.arange(base.rows) if ids is None else ids
        return np.concatenate([ids, added_ids]) if len(added_ids) else ids

    @property
    def _rows(self) -> int:
        return self._state.base.rows + len(self._state.added_ids)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, memory-mapped ones included."""
        base, ids, dead, added, added_ids = self._state
        arrays = [*engine_arrays.arrays_of(base).values(), dead, added_ids]
        arrays += [ids] if ids is not None else []
        arrays += [added.words] if added else []
        return sum(array.nbytes for array in arrays) + getattr(base, "derived_nbytes", 0)

    def search(
        self,
        queries: np.ndarray,
        k: int = 10,
        allowed: np.ndarray | None = None,
        radius: int | None = None,
        threads: int = 1,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest of each uint8 [Q, B] query: distances int32 [Q, k] and ids int64 [Q, k].

        `allowed` bool [len(index.ids)] admits only some rows, before ranking: k items come back whenever k exist.
        `radius` admits only items up to that distance. Places left over hold id -1 and distance 2**31 - 1. `threads`
        share the queries; the answer does not depend on their number. Raises InputError.
        """
        if (
            queries.__class__ is not np.ndarray
            or queries.dtype is not _BYTE
            or queries.ndim != 2
            or queries.shape[1] != self._width
            or not queries.flags.c_contiguous
        ):
            queries = check_codes(queries, self.bits, "queries")
        if k < 1:
            raise InputError(f"k must be at least 1, not {k}")
        state = self._state
        radius = self.bits if radius is None else max(-1, min(radius, self.bits))
        if threads == 1 and allowed is None and state.ids is None and state.added is None:
            return state.base.search(queries, k, _ALL, state.dead, radius)
        if threads > 1 and len(queries) > 1:
            parts = np.array_split(queries, min(threads, len(queries)))
            with ThreadPoolExecutor(len(parts)) as pool:
                answers = list(pool.map(lambda part: _search(state, part, k, allowed, radius), parts))
            return np.concatenate([a[0] for a in answers]), np.concatenate([a[1] for a in answers])
        return _search(state, queries, k, allowed, radius)

    def within(
        self, query: np.ndarray, radius: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Every item up to `radius` from one query, uint8 [B] or [1, B]: distances int32 [n], ids int64 [n]."""
        query, rows, k = np.atleast_2d(query), self._rows, 256
        while True:
            distances, ids = self.search(query, k, allowed, radius)
            if ids[0, -1] < 0 or k >= rows:
                found = int(np.count_nonzero(ids[0] >= 0))
                return distances[0, :found], ids[0, :found]
            k *= 4

    def rings(self, query: np.ndarray, allowed: np.ndarray | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """(distance, its ids ascending) by growing distance, every item once: stop when there is enough.

        For rankings of something else than items, such as studies: the work grows with what has been taken.
        """
        query, rows, k, reached = np.atleast_2d(query), self._rows, 64, -1
        while True:
            distances, ids = (a[0] for a in self.search(query, k, allowed))
            done = k >= rows or ids[-1] < 0
            whole = (ids >= 0) & (distances > reached)
            if not done:  # the last ring may go on beyond k
                whole &= distances < distances[-1]
            for distance in np.unique(distances[whole]):
                yield int(distance), ids[distances == distance]
                reached = distance
            if done:
                return
            k *= 4

    def add(self, codes: np.ndarray, ids: np.ndarray | None = None) -> None:
        """Add uint8 [n, B] codes under `ids` int64 [n], by default those after the greatest id held.

        An id that is in the index is refused; remove it first to replace its code. Rows may be renumbered.
        """
        codes = check_codes(codes, self.bits)
        base, held_ids, dead, added, added_ids = self._state
        if ids is None:
            last = max(
                base.rows - 1 if held_ids is None else int(held_ids.max(initial=-1)), int(added_ids.max(initial=-1))
            )
            ids = np.arange(last + 1, last + 1 + len(codes))
        codes, ids = _by_id(codes, _check_ids(ids, len(codes)))
        rows = _rows_of(self._state, ids)
        clash = np.isin(ids, added_ids)
        clash[rows >= 0] |= ~_bits(dead, rows[rows >= 0])
        if clash.any():
            raise InputError(f"id {ids[clash][0]} is in the index already; remove it before adding it again")
        if added is not None:
            codes, ids = np.concatenate([added.codes(), codes]), np.concatenate([added_ids, ids])
            codes, ids = _by_id(codes, ids)
        self._state = _State(base, held_ids, dead, Scan.build(codes, self.bits), ids)
        if len(ids) > _MAX_ADDED:
            self.compact()

    def remove(self, ids: np.ndarray) -> None:
        """Take items out by id; they stop being found at once and their memory is freed by `compact`."""
        ids = np.unique(_check_ids(ids, len(ids), distinct=False))
        base, held_ids, dead, added, added_ids = self._state
        rows, recent = _rows_of(self._state, ids), np.isin(ids, added_ids)
        missing = ~recent & ((rows < 0) | _bits(dead, rows))
        if missing.any():
            raise InputError(f"id {ids[missing][0]} is not in the index, so it cannot be removed")
        gone = rows[~recent]
        if len(gone):
            dead = dead.copy() if dead.size else np.zeros(-(-base.rows // 8), np.uint8)
            np.bitwise_or.at(dead, gone >> 3, np.left_shift(1, gone & 7).astype(np.uint8))
        if added is not None and recent.any():
            stay = ~np.isin(added_ids, ids)
            added, added_ids = Scan.build(added.codes()[stay], self.bits), added_ids[stay]
        self._state = _State(base, held_ids, dead, added if len(added_ids) else None, added_ids)

    def compact(self) -> None:
        """Build the base anew from what is held, so that nothing removed takes room and nothing added takes time."""
        base, ids, dead, added, added_ids = self._state
        if not dead.size and added is None:
            return
        codes, ids = base.codes(), np.arange(base.rows) if ids is None else ids
        if dead.size:
            live = np.unpackbits(dead, count=base.rows, bitorder="little") == 0
            codes, ids = codes[live], ids[live]
        if added is not None:
            codes, ids = _by_id(np.concatenate([codes, added.codes()]), np.concatenate([ids, added_ids]))
        self._state = self._built(codes, ids)

    def save(self, path: str | Path) -> None:
        """Compact, and write everything to one file; see `index_file` for its layout."""
        self.compact()
        facts = {"engine": type(self._state.base).__name__, "bits": self.bits, "layout": self.layout}
        arrays = engine_arrays.arrays_of(self._state.base)
        save_arrays(path, facts, arrays if self._state.ids is None else {**arrays, "ids": self._state.ids})

    @classmethod
    def open(cls, path: str | Path, verify: bool = False) -> "HammingIndex":
        """Map a saved index into memory, in the same time whatever its size; processes share the pages.

        `verify` reads it all and checks the checksums. Raises InputError for a file that is not a sound index.
        """
        facts, arrays = open_arrays(path, verify)
        try:
            base, ids = engine_arrays.engine_from(facts, arrays, verify)
            index = cls.__new__(cls)
            index.bits, index.layout = facts["bits"], facts["layout"]
            index._width = code_bytes(index.bits) if index.bits % 8 == 0 else -1
        except (InputError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"'{path}' is not a sound index file ({error}); build or download it again") from error
        index._state = _State(base, ids, _ALL, None, np.empty(0, np.int64))
        return index


def _search(
    state: _State, queries: np.ndarray, k: int, allowed: np.ndarray | None, radius: int
) -> tuple[np.ndarray, np.ndarray]:
    base, ids, dead, added, added_ids = state
    if allowed is None:
        mask = _ALL
    else:
        mask = np.ascontiguousarray(allowed)
        if mask.dtype != np.bool_ or mask.shape != (base.rows + len(added_ids),):
            raise InputError(
                f"allowed must be a bool array of one entry for each of the {base.rows + len(added_ids)} rows of "
                f"index.ids, not {mask.dtype} {list(mask.shape)}"
            )
        mask = mask.view(np.uint8)
    distances, found = base.search(queries, k, mask[: base.rows], dead, radius)
    if ids is not None:
        found = np.where(found < 0, found, ids[found]) if len(ids) else found
    if added is None:
        return distances, found
    more_distances, more = added.search(queries, k, mask[base.rows :], _ALL, radius)
    more = np.where(more < 0, more, added_ids[more])
    return merge_answers([(distances, found), (more_distances, more)], k)


def _check_ids(ids: np.ndarray, n: int, distinct: bool = True) -> np.ndarray:
    ids = np.asarray(ids)
    if ids.shape != (n,) or (n and ids.dtype.kind not in "iu"):
        raise InputError(f"ids must be {n} whole numbers, one for each code, not {ids.dtype} {list(ids.shape)}")
    ids = ids.astype(np.int64)
    if n and ids.min() < 0:
        raise InputError(f"id {ids.min()} is negative; ids count from 0")
    if distinct and len(np.unique(ids)) < n:
        raise InputError("ids must be distinct; number the items anew or drop the repeated ones")
    return ids


def _by_id(codes: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes and ids in ascending order of id, so that the order of rows is the order of ids."""
    if (ids[1:] > ids[:-1]).all():
        return codes, ids
    order = np.argsort(ids, kind="stable")
    return codes[order], ids[order]


def _rows_of(state: _State, ids: np.ndarray) -> np.ndarray:
    """int64 [n]: the base's row of each id, -1 where it has none."""
    if state.ids is None:
        return np.where(ids < state.base.rows, ids, -1)
    rows = np.searchsorted(state.ids, ids)
    there = rows < len(state.ids)
    there[there] = state.ids[rows[there]] == ids[there]
    return np.where(there, rows, -1)


def _bits(bitmap: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """bool [n]: the bit of each row, False where there is no bitmap or the row is negative."""
    if not bitmap.size:
        return np.zeros(len(rows), bool)
    bits: np.ndarray = (rows >= 0) & ((bitmap[rows >> 3] >> (rows & 7)) & 1 == 1)
    return bits
