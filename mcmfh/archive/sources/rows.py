"""Shared by all sources: builds a manifest table from plain rows, and drops labels that are too rare or too common."""

import csv
import gzip
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from mcmfh.archive.manifest import SCHEMA
from mcmfh.archive.splits import split_of
from mcmfh.errors import InputError
from mcmfh.store import files

Row = dict[str, Any]


def manifest_table(rows: Sequence[Row], extra: Sequence[str] = ()) -> pa.Table:
    """The manifest table of `rows`, with the additional string columns `extra`. A row must have `item_id`.

    A row without `study_id` is its own study; without `group` it takes its study's. A row without `split` gets the
    fixed split of its group, so that no group is on two sides.
    """
    complete = []
    for number, row in enumerate(rows):
        study = row.get("study_id") or row["item_id"]
        group = row.get("group") or study
        split = row.get("split") or split_of(group)
        complete.append({"labels": [], **row, "row": number, "study_id": study, "group": group, "split": split})
    return pa.Table.from_pylist(complete, schema=pa.schema([*SCHEMA, *((name, pa.string()) for name in extra)]))


def keep_labels(table: pa.Table, least: int, most: int | None = None) -> pa.Table:
    """The table with only the labels that `least` to `most` training items carry.

    Rarer labels cannot be learnt; more common ones make almost any pair relevant.
    """
    labels, splits = table["labels"].to_pylist(), table["split"].to_pylist()
    count = Counter(label for row, split in zip(labels, splits) if split == "train" for label in set(row))
    kept = {label for label, number in count.items() if least <= number <= (most or number)}
    column = pa.array([[label for label in row if label in kept] for row in labels], pa.list_(pa.string()))
    return table.set_column(table.column_names.index("labels"), "labels", column)


def read_csv(uri: str) -> Iterator[dict[str, str]]:
    """Rows of the CSV file at `uri`, or of `uri`.gz. Raises InputError where neither exists."""
    for candidate in (uri, f"{uri}.gz"):
        if files.exists(candidate):
            data = files.read(candidate)
            text = (gzip.decompress(data) if candidate.endswith(".gz") else data).decode("utf-8-sig")
            return csv.DictReader(io.StringIO(text, newline=""))
    raise InputError(f"'{uri}' does not exist; give the folder that the dataset was unpacked into")


def images_below(folder: str) -> dict[str, str]:
    """File stem → URI, of the pictures below a folder."""
    endings = (".png", ".jpg", ".jpeg", ".dcm")
    uris = (uri for uri, _ in files.walk(folder) if uri.lower().endswith(endings))
    return {uri.rpartition("/")[2].rpartition(".")[0]: uri for uri in uris}


def labels_of(names: Sequence[str]) -> list[str]:
    """The distinct, non-empty names in their order."""
    return list(dict.fromkeys(name.strip() for name in names if name.strip()))
