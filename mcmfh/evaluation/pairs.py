"""Which items belong together: of one study, or with equal texts."""

from collections.abc import Sequence

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


def connected(links: Sequence[np.ndarray], pairs: np.ndarray | None = None) -> np.ndarray:
    """int64[N]: the least position among all items that an item is connected to, also through others.

    Items are connected where one of `links` (int[N] each) has equal values. `pairs`: int[P, 2], positions of two
    connected items.
    """
    group = np.arange(len(links[0]))
    first, second = np.zeros((2, 0), np.int64) if pairs is None else pairs.T
    while True:
        before = group.copy()
        for link in links:
            least = np.full(link.max(initial=-1) + 1, len(group))
            np.minimum.at(least, link, group)
            group = least[link]
        lower = np.minimum(group[first], group[second])
        np.minimum.at(group, first, lower)
        np.minimum.at(group, second, lower)
        if np.array_equal(group, before):
            return group


def answer_groups(table: EmbeddingTable) -> np.ndarray:
    """int64[N]: each item's answer. Items of one study or with equal texts share it, also through others."""
    nameless = np.char.add("item ", np.arange(len(table)).astype(str))
    return connected(
        [np.unique(names, return_inverse=True)[1] for names in (table.study, _or(table.text_key, nameless))]
    )


def _or(names: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    return np.where(names == "", otherwise, names)
