"""Label families: labels whose names share a prefix, such as `finding:` and `region:`.

"Shares any label" lets the coarsest family decide. A score of each family, and of the finer one within the coarser,
says what the codes tell apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mcmfh.errors import InputError

LEAST_SHARE = 0.1  # of the labelled items; a family that fewer items carry is not chosen by itself


@dataclass(frozen=True)
class Family:
    name: str
    columns: np.ndarray  # int64[F]: its columns of a label matrix


def label_families(
    label_names: Sequence[str], labels: np.ndarray, chosen: Sequence[str] | None = None
) -> tuple[Family, ...]:
    """The families of labels bool[N, C], from fine to coarse.

    `chosen` names them in that order; () takes none. None takes every prefix before a colon that at least LEAST_SHARE
    of the labelled items carry, the least likely to be shared by a random pair first, if there are two or more. Raises
    InputError for a chosen family that no label belongs to.
    """
    prefixes = np.array([name.partition(":")[0] if ":" in name else "" for name in label_names])
    if chosen is not None:
        for name in chosen:
            if name not in prefixes:
                raise InputError(
                    f"evaluate.families names '{name}', but no label begins with '{name}:'; "
                    f"the labels' prefixes are {', '.join(sorted({*prefixes} - {''})) or 'none'}"
                )
        return tuple(Family(name, np.flatnonzero(prefixes == name)) for name in chosen)
    labelled = labels[labels.any(1)]
    if not len(labelled):
        return ()
    families = [Family(str(name), np.flatnonzero(prefixes == name)) for name in np.unique(prefixes[prefixes != ""])]
    families = [each for each in families if labelled[:, each.columns].any(1).mean() >= LEAST_SHARE]
    # Σ over the labels of the squared share of items: nearly the chance that two of the items share one.
    shared = [float((labelled[:, each.columns].mean(0) ** 2).sum()) for each in families]
    return tuple(families[i] for i in np.argsort(shared, kind="stable")) if len(families) > 1 else ()
