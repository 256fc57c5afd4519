"""Re-orders a shortlist: by the query's real-valued logits, or by a second, longer code column.

The shortlist is `ids` int64 [Q, n] of a search, padded with -1. `column` is uint8 [N, B], the stored codes by id: for
an index with default ids, the column it was built from. Only the rows of the shortlist are read, so that a
memory-mapped column stays on disk.
"""

import numpy as np

from mcmfh.errors import InputError
from mcmfh.hamming.codes import check_codes, code_bytes
from mcmfh.hamming.distances import hamming_distances
from mcmfh.hamming.selection import NO_DISTANCE, NO_ROW

_BYTE_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")


def rerank_by_logits(ids: np.ndarray, logits: np.ndarray, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores float32 [Q, n] and ids [Q, n], in the order (greatest score, id).

    `logits` float [Q, bits]: positive where the query's bit is 1. The score of a code is the sum of ± logit over its
    bits. Unlike the Hamming distance, it weighs a bit by how certain the query is about it. Padding has score -inf.
    """
    width = code_bytes(logits.shape[1])
    if column.dtype != np.uint8 or column.ndim != 2 or column.shape[1] != width:
        raise InputError(f"the column must be uint8 [N, {width}] for {logits.shape[1]} logits")
    codes = column[np.maximum(ids, 0)]
    scores = np.zeros(ids.shape, np.float32)
    for byte, table in enumerate(_byte_scores(logits)):
        scores += np.take_along_axis(table, codes[..., byte].astype(np.intp), axis=1)
    scores[ids == NO_ROW] = -np.inf
    order = np.lexsort((ids, -scores), axis=1)
    return np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1)


def rerank_by_code(ids: np.ndarray, query_codes: np.ndarray, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances int32 [Q, n] in the longer column and ids [Q, n], in the order (distance, id).

    `query_codes` uint8 [Q, B], of the same length as the column's.
    """
    query_codes = check_codes(query_codes, 8 * column.shape[1], "query codes")
    distances = hamming_distances(column[np.maximum(ids, 0)], query_codes[:, None]).astype(np.int32)
    distances[ids == NO_ROW] = NO_DISTANCE
    order = np.lexsort((ids, distances), axis=1)
    return np.take_along_axis(distances, order, 1), np.take_along_axis(ids, order, 1)


def score_table(logits: np.ndarray) -> np.ndarray:
    """Scores float32 [Q, 65536] of every 16-bit code under logits [Q, 16]; a code's number is its bytes' little-endian.

    This pays off where one query scores more than some thousand codes: for an archive, not for a shortlist.
    """
    if logits.ndim != 2 or logits.shape[1] != 16:
        raise InputError(f"score_table takes logits of shape [Q, 16], not {list(logits.shape)}")
    low, high = _byte_scores(logits)
    table: np.ndarray = (high[:, :, None] + low[:, None, :]).reshape(len(logits), -1)
    return table


def _byte_scores(logits: np.ndarray) -> np.ndarray:
    # [B, Q, 256]: what each value of each byte adds to the score. Unused bits of the last byte add nothing.
    queries, bits = logits.shape
    padded = np.zeros((queries, code_bytes(bits) * 8), np.float32)
    padded[:, :bits] = logits
    signs = 2 * _BYTE_BITS.astype(np.float32) - 1
    scores: np.ndarray = np.einsum("qbi,vi->bqv", padded.reshape(queries, -1, 8), signs)
    return scores
