"""`where`: which rows pass conditions on the declared columns. Computed column by column, remembered within bounds."""

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcmfh.errors import InputError

if TYPE_CHECKING:
    from mcmfh.search.opening import Snapshot

MASK_BYTES = 40 * 2**20


class Masks:
    """The masks used last, at most MASK_BYTES of them (but always one); only one is computed at a time."""

    def __init__(self, most: int = MASK_BYTES):
        self.most, self.lock = most, threading.RLock()
        self.kept: OrderedDict[tuple[str, ...], np.ndarray] = OrderedDict()

    def get(self, key: tuple[str, ...], compute: Callable[[], np.ndarray]) -> np.ndarray:
        """The mask of `key`, read-only."""
        with self.lock:
            if (mask := self.kept.get(key)) is None:
                mask = compute()
                mask.flags.writeable = False
                self.kept[key] = mask
                while len(self.kept) > 1 and sum(kept.nbytes for kept in self.kept.values()) > self.most:
                    self.kept.popitem(last=False)
            self.kept.move_to_end(key)
            return mask

    def __contains__(self, key: tuple[str, ...]) -> bool:
        return key in self.kept


def key_of(where: Mapping[str, Any]) -> str:
    """The same string for the same conditions."""
    return json.dumps(where, sort_keys=True, default=str)


def allowed(snapshot: "Snapshot", where: Mapping[str, Any]) -> np.ndarray:
    """bool [rows], read-only: live rows that pass every condition.

    A condition is a value (equal), a list (one of), or {"min": a, "max": b} (either may be left out, both inclusive);
    dates are written as in 2024-12-31. Raises InputError for a column that is not declared as a filter, or a condition
    that does not fit its type.
    """
    for column in where:
        if column not in snapshot.document.filters:
            known = ", ".join(snapshot.document.filters) or "none"
            raise InputError(f"'{column}' is not a filter of this archive; declared filters: {known}")

    def compute() -> np.ndarray:
        mask = np.array(snapshot.live)
        for column, condition in where.items():
            check = _check(column, condition)
            for start, values in snapshot.items.column(column):
                mask[start : start + len(values)] &= _passing(column, values, check)
        return mask

    return snapshot.masks.get((key_of(where),), compute)


Check = Callable[[pa.Array], pa.Array]


def _check(column: str, condition: Any) -> Check:
    """Values → whether each passes."""
    if isinstance(condition, Mapping):
        if not condition or set(condition) - {"min", "max"}:
            raise InputError(f"the range for filter '{column}' needs min, max or both, and nothing else")
        bounds = [(compare, condition[end]) for end, compare in _ENDS.items() if end in condition]
        return lambda values: _all([compare(values, _scalar(bound, values.type)) for compare, bound in bounds])
    if isinstance(condition, (list, tuple)):
        return lambda values: _any(len(values), [pc.equal(values, _scalar(one, values.type)) for one in condition])
    return lambda values: pc.equal(values, _scalar(condition, values.type))


_ENDS: dict[str, Any] = {"min": pc.greater_equal, "max": pc.less_equal}


def _passing(column: str, values: pa.Array, check: Check) -> np.ndarray:
    if isinstance(values, pa.DictionaryArray):  # each distinct value is looked at once
        of_values = _passing(column, values.dictionary, check)
        codes = pc.fill_null(values.indices, len(of_values)).to_numpy(zero_copy_only=False)
        return np.append(of_values, False)[codes]
    try:
        return pc.fill_null(check(values), False).to_numpy(zero_copy_only=False)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"the condition on filter '{column}' does not fit its type {values.type}") from error


def _scalar(value: Any, kind: pa.DataType) -> Any:
    # JSON has no dates.
    return pa.scalar(value).cast(kind) if isinstance(value, str) and pa.types.is_temporal(kind) else value


def _all(results: list[pa.Array]) -> pa.Array:
    return results[0] if len(results) == 1 else pc.and_(*results)


def _any(rows: int, results: list[pa.Array]) -> pa.Array:
    found = pa.array(np.zeros(rows, bool))
    for result in results:
        found = pc.or_kleene(found, result)
    return found
