"""Reads a manifest (one row for each item, Parquet or CSV) into one normal form.

A bad row never makes reading fail: `check_manifest` reports it and it goes to quarantine, so that items + quarantined
= rows. All work is column arithmetic on Arrow tables; a million rows take seconds.
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
    """One fault of a row.

    `fatal`: the row cannot become an item and is quarantined. Otherwise the item can be hashed and searched, but the
    manifest cannot train or evaluate a model until the fault is corrected.
    """

    row: int
    item_id: str
    reason: str
    fatal: bool


@dataclass(frozen=True)
class ManifestPart:
    """Row groups of a Parquet manifest that are read together; `first_row` is the file's row at which they begin."""

    row_groups: tuple[int, ...]
    first_row: int


def manifest_parts(uri: str, rows: int) -> tuple[list[ManifestPart | None], int]:
    """(parts of about `rows` rows each, upper bound of the total rows) of the manifest at `uri`.

    A CSV has the single part None, because it is read as a whole. Raises InputError where the manifest is missing or
    unreadable.
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
    """The manifest at `uri` (Parquet or CSV, recognised by content) as SCHEMA plus the declared filter columns.

    `row` is the 0-based row in the file. Relative URIs are resolved against the manifest's folder. Empty strings become
    null; study_id defaults to item_id and group to study_id. Labels of a CSV are separated by `|`. A row with a wrong
    number of cells gets an empty item_id. Raises InputError where the file as a whole cannot be used.
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
    """Every fault of a table from `read_manifest`, sorted by row. Of rows with equal item_ids the first is sound."""
    ids = table["item_id"].combine_chunks()
    empty = _mask(pc.equal(ids, ""))
    codes = _codes(ids)
    first = np.zeros(len(codes), bool)
    first[np.unique(codes, return_index=True)[1]] = True
    without = np.logical_and.reduce([_mask(pc.is_null(table[name])) for name in _CONTENT])
    valid_split = pc.is_in(table["split"], pa.array(SPLITS))
    invalid_split = _mask(pc.and_(pc.is_valid(table["split"]), pc.invert(valid_split)))
    checks = (
        (empty, "item_id is empty, or the row has another number of cells than the header", True),
        (~first & ~empty, "item_id was used by an earlier row", True),
        (without & ~empty, "row has neither image nor report", True),
        (invalid_split, "split is none of train, validation, test", False),
        (_straddling(table, _mask(valid_split)), "group stands on two sides of a split", False),
    )
    rows = table["row"].to_numpy()
    faults = [
        Fault(int(rows[position]), ids[position].as_py(), reason, fatal)
        for mask, reason, fatal in checks
        for position in np.flatnonzero(mask).tolist()
    ]
    return sorted(faults, key=lambda fault: fault.row)


def write_manifest(table: pa.Table, uri: str) -> None:
    """Write `table` as Parquet, replacing any file at `uri`. Equal tables give equal bytes."""
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
    """(table, int64 row numbers): first the rows that Arrow can parse, then one all-null row for each malformed one."""
    encoding = "utf-8-sig" if _is_utf8(data) else "latin-1"
    head = data[: 1 << 20].decode(encoding, errors="ignore").partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    header = next(csv.reader([head], delimiter=delimiter), [])
    malformed: list[int] = []

    def note(row: pa.csv.InvalidRow) -> str:
        malformed.append(row.number - 2)  # Arrow counts from 1 and includes the header
        return "skip"

    text_columns = {name: pa.string() for name in SCHEMA.names if name != "row"}
    table = pa.csv.read_csv(
        io.BytesIO(data),
        # Arrow numbers malformed rows only in single-threaded mode. A block must hold the longest report.
        read_options=pa.csv.ReadOptions(use_threads=False, block_size=min(len(data) + 1, 1 << 28), encoding=encoding),
        parse_options=pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=note),
        convert_options=pa.csv.ConvertOptions(
            column_types={name: kind for name, kind in text_columns.items() if name not in filters},
            include_columns=[name for name in header if name in text_columns or name in filters],
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
    """Trimmed strings; blank ones become null."""
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
    return np.asarray(pc.fill_null(column, False).to_numpy(zero_copy_only=False))


def _codes(column: pa.Array) -> np.ndarray:
    """int32[N]: equal values get equal integers."""
    return np.asarray(column.dictionary_encode(null_encoding="encode").indices.to_numpy())


def _straddling(table: pa.Table, valid: np.ndarray) -> np.ndarray:
    """bool[N]: rows whose group also has rows of another split; `valid`: rows whose split is one of SPLITS."""
    group, split = _codes(table["group"].combine_chunks()), _codes(table["split"].combine_chunks())
    sides = np.unique(np.stack([group[valid], split[valid]]), axis=1)[0]
    return valid & (np.bincount(sides, minlength=group.max(initial=0) + 1)[group] > 1) if len(group) else valid
