"""What labels say about likeness: rare ones more than common ones, and missing ones nothing.

A label's weight is its idf, log(N / n_l), times the weight of its family (the prefix of its name), as in the graded
measures. A finding that two studies share then counts for more than the region that they share. An item that has no
label of a family is unknown in it, not without: what it shares with others there is taken to be what a random item
would share.
Shapes: N train pairs · C labels.
"""

from collections.abc import Mapping, Sequence

import numpy as np

TEMPERATURE = 0.3  # of the targets; chosen on validation items of two archives


def label_weights(labels: np.ndarray, names: Sequence[str], families: Mapping[str, float]) -> np.ndarray:
    """float64[C]: weights of labels bool[N, C] named `names`; `families`: weights of families, 1 unless given."""
    idf = np.log(len(labels) / np.maximum(labels.sum(0), 1))
    weights: np.ndarray = idf * np.array([families.get(_family(name), 1.0) for name in names])
    return weights


def label_shares(labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """float32[N, C]: the weights of each item's labels as shares of their sum; 0 where they weigh nothing."""
    weighted = labels * weights
    total = weighted.sum(1, keepdims=True)
    return np.asarray(weighted / np.where(total > 0, total, 1), np.float32)


def soft_labels(labels: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """float32[N, C]: 1 where an item has a label, 0 where it has another one of that family instead.

    In a family of which an item has no label, each label's frequency among the items that have one.
    """
    soft = labels.astype(np.float32)
    of_label = np.array([_family(name) for name in names])
    for family in np.unique(of_label):
        columns = np.flatnonzero(of_label == family)
        has = labels[:, columns].any(1)
        if has.any():
            soft[np.ix_(~has, columns)] = labels[np.ix_(has, columns)].mean(0)
    return soft


def label_guide(labels: np.ndarray, names: Sequence[str], weights: np.ndarray) -> np.ndarray:
    """float32[N, C] centred: the soft labels times their weights, which a regression predicts."""
    soft = soft_labels(labels, names)
    return np.asarray((soft - soft.mean(0)) * weights, np.float32)


def _family(name: str) -> str:
    return name.partition(":")[0] if ":" in name else ""
