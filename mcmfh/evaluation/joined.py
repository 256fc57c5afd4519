"""Tables of several archives as one table."""

import hashlib
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.errors import InputError


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
        if field.name != "labels" and all(isinstance(getattr(table, field.name), np.ndarray) for table in tables)
    }
    for name in {"group", "study", "patient"} & arrays.keys():
        arrays[name] = qualified([getattr(table, name) for table in tables], archives)
    return EmbeddingTable(**arrays, labels=np.concatenate(labels), label_names=names)


def qualified(columns: Sequence[np.ndarray], archives: Sequence[str]) -> np.ndarray:
    """str[N]: the names of all columns as "<archive>/<name>", one archive a column.

    A slash in the name of an archive is escaped, so that no two archives and names are one.
    """
    escaped = [archive.replace("%", "%25").replace("/", "%2F") for archive in archives]
    return np.concatenate([np.char.add(f"{archive}/", column) for column, archive in zip(columns, escaped)])


def group_percentile(groups: np.ndarray) -> np.ndarray:
    """int[N] in 0 … 99: sha1(group) % 100, so that a group has the same number in every archive and run."""
    names, inverse = np.unique(groups, return_inverse=True)
    return np.array([int(hashlib.sha1(str(name).encode()).hexdigest(), 16) % 100 for name in names], int)[inverse]
