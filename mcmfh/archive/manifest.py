"""The manifest: one row an item, from Parquet or CSV, in one normal form whatever the hospital wrote.

Reading never fails on a bad row: a row that cannot be used is reported by `check_manifest` and goes to quarantine, so
that items + quarantined = rows. Everything is column arithmetic on Arrow; a million rows take seconds.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from mcmfh.errors import InputError
from mcmfh.store import files

SPLITS = ("train", "validation", "test")
SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("item_id", pa.string()),
        ("image_uri", pa.string()),
        ("report", pa.string()),
        ("report_uri", pa.string()),
        ("study_id", pa.string()),
        ("labels", pa.list_(pa.string())),
        ("split", pa.string()),
        ("group", pa.string()),
        ("date", pa.string()),
    ]
)
_CONTENT = ("image_uri", "report", "report_uri")


@dataclass(frozen=True)
class Fault:
    """What is wrong with a row.

    `fatal`: the row cannot become an item and is quarantined. Otherwise it can be hashed and searched, but the manifest
    must not train or evaluate a model before it is put right.
    """

    row: int
    item_id: str
    reason: str
    fatal: bool


@dataclass(frozen=True)
class ManifestPart:
    """Row groups of a Parquet manifest that are read together; `first_row` is their first row in the file."""

    row_groups: tuple[int, ...]
    first_row: int


def manifest_parts(uri: str, rows: int) -> tuple[list[ManifestPart | None], int]:
    """(parts of about `rows` rows, at most so many rows in all); a CSV is one part, None: it is read as a whole.

    Raises InputError where there is no manifest.
    """
    uri = files.absolute(uri)
    try:
        with files.open_file(uri) as file:
            if file.read(4) != b"PAR1":
                return [None], sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 24), b"")) + 1
            metadata = pq.ParquetFile(file).metadata
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"manifest '{uri}' does not exist; give the URI of a Parquet or CSV file") from error
    except pa.ArrowException as error:
        raise InputError(f"manifest '{uri}' is neither readable Parquet nor CSV ({error}); write it anew") from error
    parts: list[ManifestPart | None] = []
    groups: list[int] = []
    start = end = 0
    for group in range(metadata.num_row_groups):
        groups.append(group)
        end += metadata.row_group(group).num_rows
        if end - start >= rows or group == metadata.num_row_groups - 1:
            parts.append(ManifestPart(tuple(groups), start))
            groups, start = [], end
    return parts, metadata.num_rows


def read_manifest(uri: str, filters: Sequence[str] = (), part: ManifestPart | None = None) -> pa.Table:
    """The manifest at `uri` (Parquet or CSV, told apart by content) as SCHEMA plus the declared filter columns.

    `row` is the 0-based row in the file; relative URIs are resolved against the manifest's folder; empty strings are
    null; study_id defaults to item_id and group to study_id; labels of a CSV are separated by `|`. Rows with a wrong
    number of cells come back with an empty item_id. Raises InputError where the file as a whole cannot be used.
    """
    uri = files.absolute(uri)
    try:
        if part:
            table, rows = _read_row_groups(uri, part)
        else:
            data = files.read(uri)
            table, rows = _read_parquet(data) if data[:4] == b"PAR1" else _read_csv(data, filters)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"manifest '{uri}' does not exist; give the URI of a Parquet or CSV file") from error
    except (pa.ArrowException, csv.Error) as error:
        raise InputError(f"manifest '{uri}' is neither readable Parquet nor CSV ({error}); write it anew") from error
    _require_columns(uri, table.column_names, filters)

    def text(name: str) -> pa.ChunkedArray:
        return (
            _text(table[name])
            if name in table.column_names
            else pa.chunked_array([pa.nulls(table.num_rows, pa.string())])
        )

    columns = {name: text(name) for name in SCHEMA.names if name not in ("row", "labels")}
    columns["row"] = pa.chunked_array([rows])
    columns["item_id"] = pc.fill_null(columns["item_id"], "")
    columns["study_id"] = pc.coalesce(columns["study_id"], columns["item_id"])
    columns["group"] = pc.coalesce(columns["group"], columns["study_id"])
    columns["split"] = pc.utf8_lower(columns["split"])
    columns["date"] = pc.replace_substring_regex(columns["date"], r"^(\d{4})(\d{2})(\d{2})$", r"\1-\2-\3")
    for name in ("image_uri", "report_uri"):
        columns[name] = _absolute(columns[name], files.parent(uri))
    columns["labels"] = _labels(table["labels"]) if "labels" in table.column_names else _no_labels(table.num_rows)
    result = pa.table({name: columns[name] for name in SCHEMA.names}, schema=SCHEMA)
    for name in filters:
        if name not in SCHEMA.names:
            result = result.append_column(name, _plain(table[name]))
    return result.sort_by("row") if np.any(np.diff(rows) < 0) else result


def check_manifest(table: pa.Table) -> list[Fault]:
    """Every fault of a table from `read_manifest`, by row; of several equal item_ids the first is no fault."""
    ids = table["item_id"].combine_chunks()
    empty = _mask(pc.equal(ids, ""))
    codes = _codes(ids)
    first = np.zeros(len(codes), bool)
    first[np.unique(codes, return_index=True)[1]] = True
    without = np.logical_and.reduce([_mask(pc.is_null(table[name])) for name in _CONTENT])
    known = pc.is_in(table["split"], pa.array(SPLITS))
    unknown = _mask(pc.and_(pc.is_valid(table["split"]), pc.invert(known)))
    found = (
        (empty, "item_id is empty, or the row has another number of cells than the header", True),
        (~first & ~empty, "item_id was used by an earlier row", True),
        (without & ~empty, "row has neither image nor report", True),
        (unknown, "split is none of train, validation, test", False),
        (_straddling(table, _mask(known)), "group stands on two sides of a split", False),
    )
    rows = table["row"].to_numpy()
    faults = [
        Fault(int(rows[place]), ids[place].as_py(), reason, fatal)
        for mask, reason, fatal in found
        for place in np.flatnonzero(mask).tolist()
    ]
    return sorted(faults, key=lambda fault: fault.row)


def write_manifest(table: pa.Table, uri: str) -> None:
    """Write `table` as Parquet; the same table gives the same bytes. What stood at `uri` is replaced."""
    sink = io.BytesIO()
    pq.write_table(table.combine_chunks(), sink, compression="zstd")
    while not files.create(uri, sink.getvalue()):
        files.delete(uri)


def _read_parquet(data: bytes) -> tuple[pa.Table, np.ndarray]:
    table = pq.read_table(pa.BufferReader(data))
    return table, np.arange(table.num_rows)


def _read_row_groups(uri: str, part: ManifestPart) -> tuple[pa.Table, np.ndarray]:
    with files.open_file(uri) as file:
        table = pq.ParquetFile(file).read_row_groups(list(part.row_groups))
    return table, part.first_row + np.arange(table.num_rows)


def _read_csv(data: bytes, filters: Sequence[str]) -> tuple[pa.Table, np.ndarray]:
    """Rows that Arrow can cut into cells come first, then one all-null row for each that it cannot."""
    encoding = "utf-8-sig" if _is_utf8(data) else "latin-1"
    head = data[: 1 << 20].decode(encoding, errors="ignore").partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    header = next(csv.reader([head], delimiter=delimiter), [])
    malformed: list[int] = []

    def note(row: pa.csv.InvalidRow) -> str:
        malformed.append(row.number - 2)  # numbered from 1, the header included
        return "skip"

    known = {name: pa.string() for name in SCHEMA.names if name != "row"}
    table = pa.csv.read_csv(
        io.BytesIO(data),
        # One thread, for only then does Arrow number the malformed rows; blocks that hold the longest report.
        read_options=pa.csv.ReadOptions(use_threads=False, block_size=min(len(data) + 1, 1 << 28), encoding=encoding),
        parse_options=pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=note),
        convert_options=pa.csv.ConvertOptions(
            column_types={name: kind for name, kind in known.items() if name not in filters},
            include_columns=[name for name in header if name in known or name in filters],
            null_values=[""],
            strings_can_be_null=True,
        ),
    )
    total = table.num_rows + len(malformed)
    good = np.setdiff1d(np.arange(total), malformed, assume_unique=True)
    if malformed:
        table = pa.concat_tables([table, _null_rows(table.schema, len(malformed))])
    return table, np.concatenate([good, np.array(malformed, good.dtype)])


def _null_rows(schema: pa.Schema, count: int) -> pa.Table:
    return pa.table([pa.nulls(count, field.type) for field in schema], schema=schema)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _require_columns(uri: str, names: Sequence[str], filters: Sequence[str]) -> None:
    if "item_id" not in names:
        raise InputError(f"manifest '{uri}' has no column item_id; add one that names every row once")
    if not set(_CONTENT) & set(names):
        raise InputError(f"manifest '{uri}' has none of the columns {', '.join(_CONTENT)}; add at least one")
    if missing := [name for name in filters if name not in names]:
        raise InputError(
            f"manifest '{uri}' lacks the filter column '{missing[0]}'; add it or take it out of the filters"
        )


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Trimmed strings; what is blank becomes null."""
    trimmed = pc.utf8_trim_whitespace(_plain(column).cast(pa.string()))
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)


def _absolute(uris: pa.ChunkedArray, folder: str) -> pa.ChunkedArray:
    relative = pc.binary_join_element_wise(folder, pc.replace_substring_regex(uris, r"^(\./+)+", ""), "/")
    rooted = pc.binary_join_element_wise("file://", uris, "")
    return pc.if_else(pc.match_substring(uris, "://"), uris, pc.if_else(pc.starts_with(uris, "/"), rooted, relative))


def _labels(column: pa.ChunkedArray) -> pa.Array:
    """Lists of trimmed, non-empty labels, from lists or from strings separated by `|`."""
    lists = _plain(column)
    if not (pa.types.is_list(lists.type) or pa.types.is_large_list(lists.type)):
        lists = pc.split_pattern(lists.cast(pa.string()), "|")
    lists = lists.cast(pa.list_(pa.string())).combine_chunks()
    owner, value = pc.list_parent_indices(lists), _text(pa.chunked_array([pc.list_flatten(lists)]))
    keep = pc.is_valid(value)
    counts = np.bincount(owner.filter(keep.combine_chunks()).to_numpy(), minlength=len(lists))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), value.filter(keep).combine_chunks())


def _no_labels(rows: int) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(np.zeros(rows + 1, np.int32)), pa.array([], pa.string()))


def _mask(column: pa.ChunkedArray) -> np.ndarray:
    return pc.fill_null(column, False).to_numpy(zero_copy_only=False)


def _codes(column: pa.Array) -> np.ndarray:
    """Equal values get equal integers."""
    return column.dictionary_encode(null_encoding="encode").indices.to_numpy()


def _straddling(table: pa.Table, known: np.ndarray) -> np.ndarray:
    """Rows whose group has rows with another known split."""
    group, split = _codes(table["group"].combine_chunks()), _codes(table["split"].combine_chunks())
    sides = np.unique(np.stack([group[known], split[known]]), axis=1)[0]
    return known & (np.bincount(sides, minlength=group.max(initial=0) + 1)[group] > 1) if len(group) else known
