"""Embeddings of an archive's items beside their manifest columns: what training, baselines and evaluation read.

Shapes: N items · D_I, D_T embedding widths · C labels. An item that lacks a modality has zeros there and has_… False.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from mcmfh.embeddings.concepts import Concepts
from mcmfh.embeddings.coverage import Coverage
from mcmfh.errors import InputError
from mcmfh.store import files


@dataclass(frozen=True)
class EmbeddingTable:
    """N items in the order of the manifest."""

    item_id: np.ndarray  # str[N]
    image: np.ndarray  # float32[N, D_I]
    report: np.ndarray  # float32[N, D_T]
    has_image: np.ndarray  # bool[N]
    has_report: np.ndarray  # bool[N]
    split: np.ndarray  # str[N]: train | validation | test
    group: np.ndarray  # str[N]: patient or case, never on two sides of a split
    study: np.ndarray  # str[N]
    date: np.ndarray  # str[N]: ISO 8601 to the precision that is known (year, month or day), "" where unknown
    text_key: np.ndarray  # str[N]: a digest of the report, "" without one; reports with one key are one answer in R@K
    labels: np.ndarray  # bool[N, C]; C = 0 in an archive without labels
    label_names: tuple[str, ...] = ()
    image_key: np.ndarray | None = None  # str[N]: sha256 of the picture's file, "" without one
    # What a split adds (see evaluation/split.py), which then names `split` and `group` too.
    patient: np.ndarray | None = None  # str[N]: the manifest's group, where `group` may be several of them
    met_in_train: np.ndarray | None = None  # bool[N]: not in training, but its text or a twin of its picture is
    coverage: Coverage | None = None  # of the archive that the items come from
    archive: str = ""  # that names of studies and patients hold in; "" where they are qualified by it
    # What closed-form training reads beside embeddings (see pipeline/concepts.py), None where nothing asked for it.
    asserted: np.ndarray | None = None  # float32[N, D_T]: of what the reports of train items assert; others have zeros
    mentions: np.ndarray | None = None  # float32[N, C]: of each phrase of `concepts`, see embeddings/concepts.py
    concepts: Concepts | None = None
    split_line: str = ""
    split_digest: str = ""
    archive_digest: str = ""  # of all items that are listed and of what was embedded of them

    def __len__(self) -> int:
        return len(self.item_id)

    def select(self, rows: np.ndarray) -> "EmbeddingTable":
        """The same table with only `rows` (a bool[N] mask or an int array of positions), in that order."""
        return replace(self, **{name: array[rows] for name, array in self.arrays().items()})

    def arrays(self) -> dict[str, np.ndarray]:
        """The columns by name, each with N rows."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: value for name, value in values if isinstance(value, np.ndarray)}

    def digest(self, *columns: str) -> str:
        """sha256 of these columns in the order of the rows. Labels enter by their names, as far as an item has them."""
        contents: list[Any] = [len(self)]
        for column in columns:
            values = getattr(self, column)
            if column == "labels":
                used = values.any(0)
                names = [name for name, has in zip(self.label_names, used) if has]
                order = np.argsort(names, kind="stable")
                contents.append([[names[i] for i in order], files.digest(values[:, used][:, order].tobytes())])
            elif values.dtype.kind in "bif":
                contents.append([values.dtype.str, list(values.shape), files.digest(values.tobytes())])
            else:
                contents.append(files.digest(values.tolist()))
        return files.digest([list(columns), contents])

    def of_split(self, *splits: str) -> "EmbeddingTable":
        """The items of the named splits."""
        return self.select(np.isin(self.split, splits))

    def refuse_straddling(self) -> None:
        """Raise InputError where a group has items on two sides of the split. Whatever trains or scores calls this."""
        refuse_straddling(self.group, self.split)

    @property
    def labelled(self) -> np.ndarray:
        """bool[N]: has a label. What an item without labels shows is unknown; it is no negative for any other."""
        labelled: np.ndarray = np.any(self.labels, axis=1)
        return labelled

    @property
    def paired(self) -> np.ndarray:
        """bool[N]: has both modalities."""
        paired: np.ndarray = self.has_image & self.has_report
        return paired


def refuse_straddling(group: np.ndarray, split: np.ndarray) -> None:
    """Raise InputError where a group has items on two sides; str[N] each, split "" where an item is on none."""
    names, of_item = np.unique(group, return_inverse=True)
    sides, side = np.unique(split, return_inverse=True)
    pairs = np.unique((of_item * len(sides) + side)[split != ""])
    straddling = np.flatnonzero(np.bincount(pairs // max(1, len(sides)), minlength=len(names)) > 1)
    if len(straddling):
        raise InputError(
            f"group '{names[straddling[0]]}' stands on two sides of the split, as do {len(straddling) - 1} others; "
            "give every group one side"
        )


def label_matrix(
    labels: Sequence[Sequence[str]], names: Sequence[str] | None = None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """(bool[N, C], names): membership of each item's labels; names default to all that occur, sorted."""
    if names is None:
        names = sorted({label for row in labels for label in row})
    column = {name: i for i, name in enumerate(names)}
    matrix = np.zeros((len(labels), len(names)), bool)
    for i, row in enumerate(labels):
        matrix[i, [column[label] for label in row if label in column]] = True
    return matrix, tuple(names)
