"""The arrays of each engine: what an index file holds of it, and what a file must hold to be accepted."""

from typing import Any

import numpy as np

from mcmfh.errors import InputError
from mcmfh.hamming import bucket_table
from mcmfh.hamming.bucket_table import BucketTable
from mcmfh.hamming.codes import code_bytes
from mcmfh.hamming.multi_index import MultiIndex
from mcmfh.hamming.multi_index_kernels import CHUNK, KEY_BITS
from mcmfh.hamming.scan import Scan, word_type


def arrays_of(engine: Any) -> dict[str, np.ndarray]:
    """The arrays of a BucketTable, Scan or MultiIndex by name."""
    if isinstance(engine, BucketTable):
        return {"table": engine.table}
    if isinstance(engine, Scan):
        return {"words": engine.words}
    return {
        "words": engine.scan.words,
        "offsets": engine.offsets,
        "places": engine.bucket_rows,
        "rest": engine.rest,
        "costs": engine.costs,
    }


def engine_from(
    facts: dict[str, Any], arrays: dict[str, np.ndarray], verify: bool
) -> tuple[BucketTable | Scan | MultiIndex, np.ndarray | None]:
    """An engine over arrays, which are not copied, and the ids or None.

    Raises InputError unless every type and shape is what the engine's kernels rely on.
    """
    bits, ids = facts["bits"], arrays.get("ids")
    if type(bits) is not int or facts["layout"] not in ("inline", "reference"):
        raise InputError("its header lacks the number of bits or the layout")
    code_bytes(bits)
    engine: BucketTable | Scan | MultiIndex
    if facts["engine"] == "BucketTable" and bits <= bucket_table.MAX_BITS:
        table = _expect(arrays, "table", np.uint32, None)
        engine = BucketTable(table, bits)
    elif facts["engine"] in ("Scan", "MultiIndex") and bits > bucket_table.MAX_BITS:
        word = word_type(bits)
        words = _expect(arrays, "words", word, -(-bits // (8 * np.dtype(word).itemsize)), None)
        engine = Scan(words, bits)
        if facts["engine"] == "MultiIndex":
            engine = _multi_index(engine, arrays, facts["layout"] == "inline")
    else:
        raise InputError(f"it names an engine for {bits} bits that does not exist")
    if ids is not None:
        _expect(arrays, "ids", np.int64, engine.rows)
        if verify and ((engine.rows and ids[0] < 0) or (ids[1:] <= ids[:-1]).any()):
            raise InputError("its ids are not in ascending order")
    return engine, ids


def _multi_index(scan: Scan, arrays: dict[str, np.ndarray], inline: bool) -> MultiIndex:
    tables, n = -(-scan.bits // KEY_BITS), scan.rows
    offsets = _expect(arrays, "offsets", np.uint32, tables, (1 << KEY_BITS) + 1)
    bucket_rows = _expect(arrays, "places", np.uint32, tables, n)
    rest = _expect(arrays, "rest", np.uint16, tables, (tables - 1) * n + CHUNK if inline else 0)
    costs = _expect(arrays, "costs", np.float64, 4)
    if not (np.isfinite(costs).all() and (costs > 0).all()):
        raise InputError("its costs are not positive numbers")
    return MultiIndex(scan, offsets, bucket_rows, rest, costs)


def _expect(arrays: dict[str, np.ndarray], name: str, dtype: type, *shape: int | None) -> np.ndarray:
    array = arrays.get(name)
    if array is None or array.dtype != dtype or array.ndim != len(shape):
        raise InputError(f"it has no array '{name}' of the right type")
    if any(want is not None and want != have for want, have in zip(shape, array.shape)):
        raise InputError(f"its array '{name}' has the wrong shape {list(array.shape)}")
    return array
