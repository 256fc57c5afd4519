"""Exact Hamming retrieval in numpy and numba: microseconds a query, the same answer whatever the index type."""

from mcmfh.hamming.distances import hamming_distances
from mcmfh.hamming.index import HammingIndex
from mcmfh.hamming.merge import merge_answers
from mcmfh.hamming.rerank import rerank_by_code, rerank_by_logits

__all__ = ["HammingIndex", "hamming_distances", "merge_answers", "rerank_by_code", "rerank_by_logits"]
