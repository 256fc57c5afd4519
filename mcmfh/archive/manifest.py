"""Reads a manifest (one row for each item, Parquet or CSV) into one normal form.

A bad row never makes reading fail: `check_manifest` reports it and it goes to quarantine, so that items + quarantined
= rows. All work is column arithmetic on Arrow tables; a million rows take seconds.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mcmfh.archive import cells
from mcmfh.archive.csv_table import read_csv_table, refuse_equal_names
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
        ("read_fault", pa.string()),  # what kept a row, or its date, from being read; null nearly everywhere
    ]
)
_ADDRESSES = ("image_uri", "report_uri")
_SAMPLE_BYTES = 4 << 20
_FOREIGN = "https?|s?ftp|gcs|s3[an]|abfss?|wasbs?|hdfs|dbfs|smb|jdbc"
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
        raise InputError(f"manifest '{uri}' is neither readable Parquet nor CSV; write it anew") from error
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

    `row` is the 0-based row in the file. Names of columns are compared without letter case. Relative URIs are resolved
    against the manifest's folder. Cells that are blank or say "nan", "null" and the like become null (see `missing`);
    study_id defaults to item_id and group to study_id. Labels of a CSV are separated by `|`. `date` is in ISO 8601, to
    the day, the month or the year (see `dates`). A row that cannot be read has an empty item_id and its `read_fault`.
    Raises InputError where the file as a whole cannot be used.
    """
    uri = files.absolute(uri)
    faults: dict[int, str] = {}
    try:
        data = b"" if part else files.read(uri)
        if part:
            table = _read_row_groups(uri, part)
        elif data[:4] == b"PAR1":
            table = pq.read_table(pa.BufferReader(data))
        else:
            wanted = {name.lower() for name in (*SCHEMA.names, *filters)}
            read = read_csv_table(data, f"manifest '{uri}'", wanted)
            table, faults = read.table, read.faults
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"manifest '{uri}' does not exist; give the URI of a Parquet or CSV file") from error
    except pa.ArrowException as error:  # its message may quote cells
        raise InputError(f"manifest '{uri}' is neither readable Parquet nor CSV; write it anew") from error
    result = as_manifest(table, uri, filters, faults, part.first_row if part else 0)
    if data and data[:4] != b"PAR1":
        for name in filters:
            if name not in SCHEMA.names:
                place = result.column_names.index(name)
                result = result.set_column(place, name, cells.inferred(result[name]))
    return result


def sample_addresses(uri: str, part: ManifestPart | None) -> list[str]:
    """Absolute addresses in one part of a Parquet manifest, or at the beginning of a CSV. Raises InputError."""
    uri = files.absolute(uri)
    if part:
        with files.open_file(uri) as file:
            parquet = pq.ParquetFile(file)
            names = [name for name in parquet.schema_arrow.names if name.strip().lower() in _ADDRESSES]
            table = parquet.read_row_groups(list(part.row_groups), columns=names)
    else:
        head = files.read(uri, 0, _SAMPLE_BYTES)
        cut = head.rfind(b"\n") + 1 if len(head) == _SAMPLE_BYTES else len(head)
        table = read_csv_table(head[:cut], f"manifest '{uri}'", _ADDRESSES).table
    columns = (cells.addresses(column, files.parent(uri)) for column in table.columns)
    return [address for column in columns for address in column.drop_null().to_pylist()]


def as_manifest(
    table: pa.Table, uri: str, filters: Sequence[str], faults: Mapping[int, str], first_row: int = 0
) -> pa.Table:
    """The normal form, as `read_manifest` returns it, of a table read from `uri`; `faults`: row → why it is unread.

    Raises InputError for missing columns and for two of one name.
    """
    table = _named(table, uri, filters)
    try:
        columns = _columns(table, files.parent(uri), faults)
    except pa.ArrowException as error:  # its message may quote cells
        raise InputError(f"manifest '{uri}': {_unreadable(table)}; write text, numbers or dates into it") from error
    rows = pa.array(first_row + np.arange(table.num_rows))
    result = pa.table({**columns, "row": rows}).select(SCHEMA.names).cast(SCHEMA)
    for name in filters:
        if name not in SCHEMA.names:
            result = result.append_column(name, cells.plain(table[name]))
    return result


def _columns(table: pa.Table, folder: str, faults: Mapping[int, str]) -> dict[str, pa.ChunkedArray | pa.Array]:
    """Every column of SCHEMA but `row`."""
    missing = pa.chunked_array([pa.nulls(table.num_rows, pa.string())])

    def column(name: str) -> pa.ChunkedArray:
        return table[name] if name in table.column_names else missing

    columns = {
        "item_id": pc.fill_null(cells.text(column("item_id")), ""),
        "image_uri": cells.addresses(column("image_uri"), folder),
        "report": cells.prose(column("report")),
        "report_uri": cells.addresses(column("report_uri"), folder),
        "split": pc.utf8_lower(cells.text(column("split"))),
        "labels": cells.labels(table["labels"]) if "labels" in table.column_names else cells.no_labels(table.num_rows),
    }
    columns["study_id"] = pc.coalesce(cells.keys(column("study_id")), columns["item_id"])
    columns["group"] = pc.coalesce(cells.keys(column("group")), columns["study_id"])
    columns["date"], no_date = cells.dates(column("date"))
    unread = pa.array([faults.get(row) for row in range(table.num_rows)], pa.string()) if faults else missing
    columns["read_fault"] = pc.coalesce(unread, cells.text(column("read_fault")), no_date)
    return columns


def check_manifest(table: pa.Table) -> list[Fault]:
    """Every fault of a table from `read_manifest`, sorted by row. Of rows with equal item_ids the first is sound."""
    ids = table["item_id"].combine_chunks()
    empty = _mask(pc.equal(ids, ""))
    unread = _mask(pc.is_valid(table["read_fault"]))
    codes = _codes(ids)
    first = np.zeros(len(codes), bool)
    first[np.unique(codes, return_index=True)[1]] = True
    without = np.logical_and.reduce([_mask(pc.is_null(table[name])) for name in _CONTENT])
    valid_split = pc.is_in(table["split"], pa.array(SPLITS))
    invalid_split = _mask(pc.and_(pc.is_valid(table["split"]), pc.invert(valid_split)))
    checks: list[tuple[np.ndarray, str, bool]] = [
        (empty & ~unread, "item_id is empty, or the row has another number of cells than the header", True),
        (~first & ~empty, "item_id was used by an earlier row", True),
        (without & ~empty, "row has neither image nor report", True),
        (_foreign(table["image_uri"]), "image address has an unsupported scheme", True),
        (_foreign(table["report_uri"]), "report address has an unsupported scheme", True),
        (_windows(table["image_uri"]), "image address is a path of Windows", True),
        (_windows(table["report_uri"]), "report address is a path of Windows", True),
        (invalid_split, "split is none of train, validation, test", False),
        (_straddling(table, _mask(valid_split)), "group stands on two sides of a split", False),
    ]
    reasons = table["read_fault"].combine_chunks()
    for reason in pc.unique(reasons.drop_null()).to_pylist():
        unread_so = _mask(pc.equal(reasons, reason))
        checks += [(unread_so & empty, reason, True), (unread_so & ~empty, reason, False)]
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


def _read_row_groups(uri: str, part: ManifestPart) -> pa.Table:
    with files.open_file(uri) as file:
        return pq.ParquetFile(file).read_row_groups(list(part.row_groups))


def _named(table: pa.Table, uri: str, filters: Sequence[str]) -> pa.Table:
    """`table` with its columns called as SCHEMA and the filters call them. Raises InputError where one is missing."""
    known = {name.lower(): name for name in (*SCHEMA.names, *filters)}
    names = [known.get(" ".join(name.split()).lower(), name) for name in table.column_names]
    refuse_equal_names(names, f"manifest '{uri}'")
    if "item_id" not in names:
        raise InputError(f"manifest '{uri}' has no column item_id; add one that names every row once")
    if not set(_CONTENT) & set(names):
        raise InputError(f"manifest '{uri}' has none of the columns {', '.join(_CONTENT)}; add at least one")
    if missing := [name for name in filters if name not in names]:
        raise InputError(
            f"manifest '{uri}' lacks the filter column '{missing[0]}'; add it or take it out of the filters"
        )
    return table.rename_columns(names)


def _unreadable(table: pa.Table) -> str:
    """Which column of `table` holds what is no text and cannot be made text."""
    for name in table.column_names:
        try:
            (cells.labels if name == "labels" else cells.text)(table[name])
        except pa.ArrowException:
            return f"column {name} is of the type {table[name].type}, or holds bytes that are no text"
    return "a column holds what is no text"


def _foreign(uris: pa.ChunkedArray) -> np.ndarray:
    """bool[N]: addresses of a scheme that is not read."""
    buckets = "|".join(scheme for scheme in files.SCHEMES if scheme != "file")
    ours = pc.match_substring_regex(uris, f"^(?:file://(?i:localhost)?/|(?:{buckets})://)[^/]")
    # What lacks its slashes was taken for a name in a folder.
    mistyped = pc.match_substring_regex(uris, rf"/(?:data:[\w.+-]+/[\w.+-]+[;,]|(?i:file|{buckets}|{_FOREIGN}):)")
    return _mask(pc.and_(pc.is_valid(uris), pc.or_(pc.invert(ours), mistyped)))


def _windows(uris: pa.ChunkedArray) -> np.ndarray:
    """bool[N]: addresses with a drive's letter, or of a server's share, which were taken for names in a folder."""
    return _mask(pc.match_substring_regex(uris, r"/(?:[A-Za-z]:[\\/]|\\\\[^\\/])"))


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
