"""`where`: which rows meet conditions on the declared columns. Masks used recently are kept, within a memory limit."""

import hashlib
import json
import math
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
MOST_MASKS = 10_000  # of a small archive, whose masks take less than the objects around them

Conditions = Mapping[str, Any]  # column → condition
Where = Conditions | tuple[Conditions, ...]  # a row must meet all conditions of a tuple; they may share columns
Key = tuple[str, ...]


class MaskCache:
    """The masks used last: at most MOST_MASKS, and `max_bytes` of masks and keys together, but always one.

    A mask is computed once, by the thread that asks first; who asks for another mask does not wait for it.
    """

    def __init__(self, max_bytes: int = MASK_BYTES):
        self.max_bytes, self.lock = max_bytes, threading.Lock()
        self.masks: OrderedDict[Key, np.ndarray] = OrderedDict()
        self.making: dict[Key, threading.Lock] = {}
        self.bytes = 0

    def get(self, key: Key, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """The mask of `key`, read-only."""
        with self.lock:
            if (mask := self._kept(key)) is not None:
                return mask
            making = self.making.setdefault(key, threading.Lock())
        with making:
            with self.lock:
                if (mask := self._kept(key)) is not None:
                    return mask
            try:
                mask = compute()
                mask.flags.writeable = False
            finally:
                with self.lock:
                    self.making.pop(key, None)
                    if mask is not None:
                        self._keep(key, mask)
            return mask

    def _kept(self, key: Key) -> np.ndarray | None:
        if key in self.masks:
            self.masks.move_to_end(key)
        return self.masks.get(key)

    def _keep(self, key: Key, mask: np.ndarray) -> None:
        if key not in self.masks:
            self.bytes += _bytes(key, mask)
        self.masks[key] = mask
        while len(self.masks) > 1 and (self.bytes > self.max_bytes or len(self.masks) > MOST_MASKS):
            self.bytes -= _bytes(*self.masks.popitem(last=False))


def _bytes(key: Key, mask: np.ndarray) -> int:
    return mask.nbytes + sum(map(len, key))


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
        for column in (column for conditions in _each(where) for column in conditions):
            if column not in self.declared:
                declared = ", ".join(self.declared) or "none"
                raise InputError(f"'{column}' is not a filter of this archive; declared filters: {declared}")
        return self.cache.get((_key(where),), lambda: self._compute(where))

    def index_mask(self, where: Where, column: str, ids: np.ndarray) -> np.ndarray:
        """bool [len(ids)], read-only: `mask` at the rows `ids` of the index of a code column."""
        return self.cache.get((_key(where), column), lambda: self.mask(where)[ids])

    def _compute(self, where: Where) -> np.ndarray:
        mask = np.array(self.live)
        for column, condition in (pair for conditions in _each(where) for pair in conditions.items()):
            test = _test(column, condition)
            for start, values in self.items.column(column):
                mask[start : start + len(values)] &= _passing(column, values, test)
        return mask


def both(scope: Conditions, where: Conditions) -> Where:
    """What a row must meet to meet `scope` and `where`."""
    return (scope, where) if scope and where else scope or where


def _each(where: Where) -> tuple[Conditions, ...]:
    return where if isinstance(where, tuple) else (where,)


def _key(where: Where) -> str:
    """The same short string for the same conditions."""
    return hashlib.sha256(json.dumps(where, sort_keys=True, default=str).encode()).hexdigest()


Test = Callable[[pa.Array], pa.Array]  # values → whether each meets the condition


def _test(column: str, condition: Any) -> Test:
    if isinstance(condition, Mapping):
        if not condition or set(condition) - {"min", "max"}:
            raise InputError(f"the range for filter '{column}' needs min, max or both, and nothing else")
        bounds = [(compare, condition[end]) for end, compare in _COMPARISONS.items() if end in condition]
        return lambda values: _all([compare(values, _scalar(bound, values.type)) for compare, bound in bounds])
    if isinstance(condition, (list, tuple)):
        return lambda values: pc.is_in(values, _value_set(condition, values.type), skip_nulls=True)
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


def _value_set(wanted: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """The values of a list as an array of the column's type, without those that equal nothing: null, NaN, 5.5 of int.

    Raises what pyarrow raises, or TypeError, where a value does not fit the type.
    """
    wanted = [] if pa.types.is_null(kind) else [one for one in wanted if one is not None and one == one]
    if pa.types.is_integer(kind):
        wanted = [one for one in wanted if not isinstance(one, float) or (math.isfinite(one) and one.is_integer())]
    if pa.types.is_floating(kind):
        wanted = [*wanted, *([0.0, -0.0] if 0 in wanted else ())]  # equal, with different bits
    if pa.types.is_temporal(kind):
        if not all(isinstance(one, str) for one in wanted):
            raise TypeError("dates are written as text")
        return pa.array(wanted, pa.string()).cast(kind)
    return pa.array(wanted, kind)


def _all(results: list[pa.Array]) -> pa.Array:
    return results[0] if len(results) == 1 else pc.and_(*results)
