"""`where`: which rows meet conditions on the declared columns. Masks used recently are kept, within a memory limit."""

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcmfh.errors import InputError
from mcmfh.search.mapped import MappedRows

MASK_BYTES = 40 * 2**20

Where = Mapping[str, Any]  # column → condition


class MaskCache:
    """The masks used last: at most `max_bytes` of them, but always one. Only one mask is computed at a time."""

    def __init__(self, max_bytes: int = MASK_BYTES):
        self.max_bytes, self.lock = max_bytes, threading.RLock()
        self.masks: OrderedDict[tuple[str, ...], np.ndarray] = OrderedDict()

    def get(self, key: tuple[str, ...], compute: Callable[[], np.ndarray]) -> np.ndarray:
        """The mask of `key`, read-only."""
        with self.lock:
            if (mask := self.masks.get(key)) is None:
                mask = compute()
                mask.flags.writeable = False
                self.masks[key] = mask
                while len(self.masks) > 1 and sum(each.nbytes for each in self.masks.values()) > self.max_bytes:
                    self.masks.popitem(last=False)
            self.masks.move_to_end(key)
            return mask


class RowFilter:
    """Masks of the rows of a snapshot, or of a part of one.

    declared: the columns that conditions may name; items: the values; live: bool [rows].
    """

    def __init__(self, declared: Sequence[str], items: MappedRows, live: np.ndarray):
        self.declared, self.items, self.live = declared, items, live
        self.cache = MaskCache()

    def mask(self, where: Where) -> np.ndarray:
        """bool [rows], read-only: live rows that meet every condition.

        A condition is a value (equal), a list (one of), or {"min": a, "max": b} (inclusive, either may be omitted);
        dates are written as in 2024-12-31. Raises InputError for a column that is not declared as a filter, or a
        condition that does not fit its type.
        """
        for column in where:
            if column not in self.declared:
                declared = ", ".join(self.declared) or "none"
                raise InputError(f"'{column}' is not a filter of this archive; declared filters: {declared}")
        return self.cache.get((_key(where),), lambda: self._compute(where))

    def index_mask(self, where: Where, column: str, ids: np.ndarray) -> np.ndarray:
        """bool [len(ids)], read-only: `mask` at the rows `ids` of the index of a code column."""
        return self.cache.get((_key(where), column), lambda: self.mask(where)[ids])

    def _compute(self, where: Where) -> np.ndarray:
        mask = np.array(self.live)
        for column, condition in where.items():
            test = _test(column, condition)
            for start, values in self.items.column(column):
                mask[start : start + len(values)] &= _passing(column, values, test)
        return mask


def _key(where: Where) -> str:
    """The same string for the same conditions."""
    return json.dumps(where, sort_keys=True, default=str)


Test = Callable[[pa.Array], pa.Array]  # values → whether each meets the condition


def _test(column: str, condition: Any) -> Test:
    if isinstance(condition, Mapping):
        if not condition or set(condition) - {"min", "max"}:
            raise InputError(f"the range for filter '{column}' needs min, max or both, and nothing else")
        bounds = [(compare, condition[end]) for end, compare in _COMPARISONS.items() if end in condition]
        return lambda values: _all([compare(values, _scalar(bound, values.type)) for compare, bound in bounds])
    if isinstance(condition, (list, tuple)):
        return lambda values: _any(len(values), [pc.equal(values, _scalar(one, values.type)) for one in condition])
    return lambda values: pc.equal(values, _scalar(condition, values.type))


_COMPARISONS: dict[str, Any] = {"min": pc.greater_equal, "max": pc.less_equal}


def _passing(column: str, values: pa.Array, test: Test) -> np.ndarray:
    passing: np.ndarray
    if isinstance(values, pa.DictionaryArray):  # each distinct value is tested once
        of_values = _passing(column, values.dictionary, test)
        codes = pc.fill_null(values.indices, len(of_values)).to_numpy(zero_copy_only=False)
        passing = np.append(of_values, False)[codes]
        return passing
    try:
        passing = pc.fill_null(test(values), False).to_numpy(zero_copy_only=False)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"the condition on filter '{column}' does not fit its type {values.type}") from error
    return passing


def _scalar(value: Any, kind: pa.DataType) -> Any:
    # JSON has no dates: they arrive as strings.
    return pa.scalar(value).cast(kind) if isinstance(value, str) and pa.types.is_temporal(kind) else value


def _all(results: list[pa.Array]) -> pa.Array:
    return results[0] if len(results) == 1 else pc.and_(*results)


def _any(rows: int, results: list[pa.Array]) -> pa.Array:
    passing = pa.array(np.zeros(rows, bool))
    for result in results:
        passing = pc.or_kleene(passing, result)
    return passing
