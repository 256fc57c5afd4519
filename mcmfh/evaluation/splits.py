"""Other splits into train and test: by date, and one dataset against another. No group is on both sides."""

import hashlib
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import date
from typing import Any

import numpy as np

from mcmfh.archive.dates import day_first_of, parse_date
from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.errors import InputError


def temporal_split(table: EmbeddingTable, cut: str, validation_percent: int = 10) -> EmbeddingTable:
    """Train on items before the date `cut`, test on the others; some of the earlier groups become validation.

    Dates are written in one of the formats that `archive.dates` lists. A group with items on both sides keeps only the
    earlier ones: a patient of the training set is no new patient. Items without a date are left out, and items whose
    month or year holds the cut. Raises InputError for a date that cannot be read, and when a side is empty.
    """
    early, late = sides_of_date(table, parse_date(cut).first)
    trained = np.isin(table.group, table.group[early])
    return _two_sides(table, early, late & ~trained, validation_percent, f"date {cut}")


def sides_of_date(table: EmbeddingTable, cut: date) -> tuple[np.ndarray, np.ndarray]:
    """(bool[N], bool[N]): items that are certainly before `cut`, and items that are certainly not.

    Raises InputError for a date that cannot be read.
    """
    texts, of_item = np.unique(table.date, return_inverse=True)
    day_first = day_first_of(texts)
    early, late = np.zeros((2, len(texts)), bool)
    for i, text in enumerate(texts.tolist()):
        if text:
            try:
                known = parse_date(text, day_first)
            except ValueError as error:
                item = table.item_id[of_item == i][0]
                raise InputError(f"item '{item}' has no date to split by: {error}; write it as YYYY-MM-DD") from error
            early[i], late[i] = known.last < cut, known.first >= cut
    return early[of_item], late[of_item]


def cross_dataset_split(
    source: EmbeddingTable,
    target: EmbeddingTable,
    validation_percent: int = 10,
    archives: tuple[str, str] = ("source", "target"),
) -> EmbeddingTable:
    """Train and validate on `source`, test on the whole of `target`; label columns are matched by name.

    `archives` names the archives that the tables come from. Two exports of one archive have one name, and then equal
    names of groups and studies mean the same (see `join_tables`). Source items whose group or report text also occurs
    in the target are left out. Both tables must come from the same encoder. Raises InputError when a side is empty.
    """
    table = join_tables([source, target], archives)
    first = np.arange(len(table)) < len(source)
    texts = target.text_key[target.text_key != ""]
    shared = np.isin(table.group, table.group[~first]) | np.isin(table.text_key, texts)
    # A group is left out as a whole: its other items would still leak what they share with the target.
    shared = np.isin(table.group, table.group[shared])
    return _two_sides(table, first & ~shared, ~first, validation_percent, "the two datasets")


def join_tables(tables: Sequence[EmbeddingTable], archives: Sequence[str] | None = None) -> EmbeddingTable:
    """The tables concatenated, with the label columns of all. Raises InputError when embedding widths differ.

    Names of groups and studies hold within their archive alone: two hospitals both have a patient 17. They are
    therefore qualified as "<archive>/<name>". `archives` names the archive of each table, by default "1", "2", ….
    """
    archives = archives or [str(i + 1) for i in range(len(tables))]
    names = tuple(sorted({name for table in tables for name in table.label_names}))
    column = {name: i for i, name in enumerate(names)}
    labels = [np.zeros((len(table), len(names)), bool) for table in tables]
    for matrix, table in zip(labels, tables):
        matrix[:, [column[name] for name in table.label_names]] = table.labels
    if len({(table.image.shape[1], table.report.shape[1]) for table in tables}) > 1:
        raise InputError("the datasets have embeddings of different widths; embed both with one encoder")
    arrays: dict[str, Any] = {
        field.name: np.concatenate([getattr(table, field.name) for table in tables])
        for field in fields(EmbeddingTable)
        if field.name not in ("labels", "label_names", "coverage")
    }
    prefix = np.repeat([f"{archive}/" for archive in archives], [len(table) for table in tables])
    for name in ("group", "study"):
        arrays[name] = np.char.add(prefix, arrays[name])
    return EmbeddingTable(**arrays, labels=np.concatenate(labels), label_names=names)


def group_percentile(groups: np.ndarray) -> np.ndarray:
    """int[N] in 0 … 99: sha1(group) % 100, so that a group has the same number in every archive and run."""
    names, inverse = np.unique(groups, return_inverse=True)
    return np.array([int(hashlib.sha1(str(name).encode()).hexdigest(), 16) % 100 for name in names], int)[inverse]


def _two_sides(
    table: EmbeddingTable, train: np.ndarray, test: np.ndarray, validation_percent: int, culprit: str
) -> EmbeddingTable:
    validation = train & (group_percentile(table.group) < validation_percent)
    split = np.select([test, validation, train], ["test", "validation", "train"], "")
    for side in ("train", "test"):
        if side not in split:
            raise InputError(f"splitting by {culprit} leaves nothing to {side}; choose another split")
    return replace(table, split=split).select(split != "")
