"""Which items belong together: of one study, or with equal texts."""

import numpy as np

from mcmfh.embeddings.table import EmbeddingTable


def equal_pairs(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions (int64[P], int64[P]) of every pair with left[i] == right[j]: a join, O((L + R) log R + P)."""
    order = np.argsort(right, kind="stable")
    first, last = (np.searchsorted(right, left, side, sorter=order) for side in ("left", "right"))
    counts = last - first
    i = np.repeat(np.arange(len(left)), counts)
    within = np.arange(len(i)) - np.repeat(np.cumsum(counts) - counts, counts)
    return i, order[first[i] + within]


def answer_groups(table: EmbeddingTable) -> np.ndarray:
    """int64[N]: each item's answer. Items of one study or with equal texts share it, also through others."""
    nameless = np.char.add("item ", np.arange(len(table)).astype(str))
    links = [np.unique(names, return_inverse=True)[1] for names in (table.study, _or(table.text_key, nameless))]
    group = np.arange(len(table))
    while True:
        before = group
        for link in links:
            least = np.full(len(table), len(table))
            np.minimum.at(least, link, group)
            group = least[link]
        if np.array_equal(group, before):
            return group


def _or(names: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    return np.where(names == "", otherwise, names)
