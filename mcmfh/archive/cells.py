"""Columns of cells as a hospital filled them → the normal form of a manifest: text, keys, addresses, dates, labels.

Everything is column arithmetic on Arrow; what needs Python runs once for each distinct value.
"""

import io
from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from mcmfh.archive.dates import day_first_of, parse_date
from mcmfh.archive.missing import NO_KEY, NO_KEY_PATTERN, NO_VALUE
from mcmfh.store import files

_SCHEME = r"^[A-Za-z][A-Za-z0-9+.-]+:/"


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """`column` without dictionary encoding."""
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def text(column: pa.ChunkedArray, nothing: Collection[str] = NO_VALUE) -> pa.ChunkedArray:
    """Trimmed strings; null where a cell is blank or holds, letter case aside, one of the words of `nothing`.

    A number that pandas made a float because its column has gaps is written as the integer that it was.
    """
    column = plain(column)
    if pa.types.is_floating(column.type):
        column = _integers(column)
    trimmed = pc.utf8_trim_whitespace(column.cast(pa.string()))
    empty = pc.is_in(pc.utf8_lower(trimmed), pa.array(sorted(nothing), pa.string()))
    return pc.if_else(empty, pa.scalar(None, pa.string()), trimmed)


def prose(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """As `text`; null also where no cell character is a letter or a digit, or where a whole report is "unknown"."""
    said = text(column, NO_VALUE | {"unknown", "0"})
    return pc.if_else(pc.match_substring_regex(said, r"[\pL\pN]"), said, pa.scalar(None, pa.string()))


def keys(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """As `text`, in one spelling; null where a joining key is what stands for everybody who is not known. "7.0" is the
    key "7"."""
    known = _one_spelling(text(column, NO_KEY))
    plain_words = pc.utf8_trim(pc.replace_substring_regex(pc.utf8_lower(known), r"[^\pL\pN]+", " "), " ")
    nobody = pc.match_substring_regex(plain_words, NO_KEY_PATTERN)
    known = pc.if_else(nobody, pa.scalar(None, pa.string()), known)
    return pc.replace_substring_regex(known, r"^(\d+)\.0$", r"\1")


def addresses(column: pa.ChunkedArray, folder: str) -> pa.ChunkedArray:
    """Absolute URIs of paths relative to `folder`. One with a scheme that nobody reads is left as it is."""
    uris = text(column)
    for scheme in files.SCHEMES:
        uris = pc.replace_substring_regex(uris, f"^(?i:{scheme})://", f"{scheme}://")
    uris = pc.replace_substring_regex(uris, r"^(?i:file):/(?://)?([^/])", r"file:///\1")
    relative = pc.binary_join_element_wise(folder, pc.replace_substring_regex(uris, r"^(\./+)+", ""), "/")
    rooted = pc.binary_join_element_wise("file://", uris, "")
    complete = pc.match_substring_regex(uris, _SCHEME)
    return pc.if_else(complete, uris, pc.if_else(pc.starts_with(uris, "/"), rooted, relative))


def dates(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, pa.Array]:
    """(ISO dates to the precision that is known, why a cell is no date); both null where the cell is empty."""
    cells = text(column, NO_VALUE | {"unknown", "0", "-", "0000-00-00", "00000000"}).combine_chunks()
    encoded = cells.dictionary_encode()
    values = encoded.dictionary.to_pylist()
    day_first = day_first_of(values)
    iso: list[str | None] = []
    faults: list[str | None] = []
    for value in values:
        try:
            iso.append(str(parse_date(value, day_first)))
            faults.append(None)
        except ValueError as error:
            iso.append(None)
            faults.append(str(error))
    places = encoded.indices
    return pa.chunked_array([pa.array(iso, pa.string()).take(places)]), pa.array(faults, pa.string()).take(places)


def labels(column: pa.ChunkedArray) -> pa.Array:
    """Lists of non-empty labels, each in one spelling, from lists or from strings separated by `|`."""
    lists = plain(column)
    if not (pa.types.is_list(lists.type) or pa.types.is_large_list(lists.type)):
        lists = pc.split_pattern(lists.cast(pa.string()), "|")
    lists = lists.cast(pa.list_(pa.string())).combine_chunks()
    owner, value = pc.list_parent_indices(lists), _one_spelling(text(pa.chunked_array([pc.list_flatten(lists)])))
    keep = pc.is_valid(value)
    counts = np.bincount(owner.filter(keep.combine_chunks()).to_numpy(), minlength=len(lists))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), value.filter(keep).combine_chunks())


def no_labels(rows: int) -> pa.Array:
    """An empty list a row."""
    return pa.ListArray.from_arrays(pa.array(np.zeros(rows + 1, np.int32)), pa.array([], pa.string()))


def inferred(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Strings as numbers, dates or truth values where all of them are, as Arrow tells it."""
    sink = io.BytesIO()
    pa.csv.write_csv(pa.table({"c": column}), sink)
    read = pa.csv.ReadOptions(block_size=min(sink.tell() + 1, 1 << 28))
    parse = pa.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False)
    convert = pa.csv.ConvertOptions(null_values=[""], strings_can_be_null=True)
    return pa.csv.read_csv(io.BytesIO(sink.getvalue()), read, parse, convert)["c"]


def _one_spelling(names: pa.ChunkedArray) -> pa.ChunkedArray:
    """Names in NFC with single blanks: what looks equal is equal, whichever system wrote it."""
    return pc.replace_substring_regex(pc.utf8_normalize(names, form="NFC"), r"[\s\pZ]+", " ")


def _integers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    known = pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type))
    whole = pc.all(pc.equal(pc.round(known), known)).as_py()
    return known.cast(pa.int64()) if whole is not False and (pc.max(pc.abs(known)).as_py() or 0) < 2**53 else known
