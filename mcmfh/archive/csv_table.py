"""CSV as spreadsheets and databases export it → columns of strings, with every line accounted for.

Each line is part of a row, blank, or a fault that names it. A quote that is never closed must not swallow the rows
after it: its line becomes a fault, and reading goes on with the next line.
"""

import csv
import io
import os.path
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import pyarrow as pa

from mcmfh.archive.limits import DecodeError
from mcmfh.archive.report_formats.characters import decode
from mcmfh.errors import InputError

_DELIMITERS = ",;\t|"
_CHUNK_ROWS = 1 << 15
_MAX_CELL = 1 << 30  # characters; a report of megabytes is refused later, with its own reason
_SAMPLE = 1000  # rows from which the look of a column is learnt
_FEW_ZEROS = 0.05  # of the bytes
_FORMAT = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")  # characters that show nothing
_FORMULA = re.compile(r'="([^"]*)"')  # how Excel keeps the zeros that a number begins with
_LOOKS = 20  # a column with more different looks is free text


@dataclass(frozen=True)
class CsvTable:
    """`table`: strings, null where a cell is blank; a row that cannot be read is null in every column.

    faults: row → what is wrong with it, by the number of its line in the file (from 1), without quoting it.
    """

    table: pa.Table
    faults: dict[int, str]


@dataclass(frozen=True)
class _Record:
    """Cells of the lines [start, end); None with a reason where they make no row."""

    start: int
    end: int
    cells: list[str] | None
    reason: str = ""


@dataclass
class _Columns:
    """Columns that grow by rows, as Arrow chunks."""

    names: Sequence[str]
    places: Sequence[int]
    chunks: list[pa.RecordBatch] = field(default_factory=list)
    rows: list[list[str | None]] = field(default_factory=list)

    def add(self, cells: Sequence[str] | None) -> None:
        self.rows.append([_value(cells[place]) for place in self.places] if cells else [None] * len(self.places))
        if len(self.rows) >= _CHUNK_ROWS:
            self.flush()

    def flush(self) -> None:
        columns = [pa.array(column, pa.string()) for column in zip(*self.rows)]
        if not self.rows:
            columns = [pa.array([], pa.string()) for _ in self.places]
        self.chunks.append(pa.RecordBatch.from_arrays(columns, names=list(self.names)))
        self.rows = []


def _value(cell: str) -> str | None:
    if cell.startswith("=") and (formula := _FORMULA.fullmatch(cell.strip())):
        cell = formula[1]
    return cell or None


def read_csv_table(data: bytes, what: str, wanted: Collection[str] | None = None) -> CsvTable:
    """The table in `data`, delimiter and character set recognised.

    what: names the file in error messages, e.g. "manifest 'x.csv'". wanted: names of the columns to keep, in lower
    case; None keeps all. Header cells are trimmed. A column without a name is called "column <n>", and dropped where it
    is blank. Raises InputError for a file that is no text, is empty, or names a column twice.
    """
    csv.field_size_limit(_MAX_CELL)
    try:
        lines = list(io.StringIO(decode(_without_zeros(data)), newline=""))
    except DecodeError:
        raise InputError(f"{what} is neither readable Parquet nor CSV; write it anew") from None
    first = next((number for number, line in enumerate(lines) if line.strip()), None)
    if first is None:
        raise InputError(f"{what} is neither readable Parquet nor CSV, it is empty; write it anew")
    declared = re.fullmatch(r'"?sep=(.)"?', lines[first].strip())  # what Excel writes for itself
    first += bool(declared)
    delimiter = declared[1] if declared else _delimiter(lines[first] if first < len(lines) else "")
    records = _records(lines, delimiter, first)
    head = next(records, None)
    if head is None or head.cells is None:
        raise InputError(f"{what}: its header in line {first + 1} cannot be read; write it anew")
    names = _header(head.cells, what, wanted)
    swallowing = _swallowing(lines, delimiter, head.end, names)
    return _collect(_records(lines, delimiter, head.end, swallowing), names, wanted)


def _without_zeros(data: bytes) -> bytes:
    """`data` without the zero bytes that a database left in some cells; UTF-16 has far more of them."""
    return data.replace(b"\0", b"") if 0 < data.count(0) < _FEW_ZEROS * len(data) else data


def _collect(records: Iterator[_Record], names: Sequence[str], wanted: Collection[str] | None) -> CsvTable:
    places = [place for place, name in enumerate(names) if wanted is None or name.lower() in wanted]
    columns, faults = _Columns([names[place] for place in places], places), {}
    for row, record in enumerate(records):
        cells, reason = record.cells, record.reason
        if cells is not None and len(cells) != len(names):
            reason = f"line {record.start + 1} has {len(cells)} cells where the header has {len(names)}"
            cells = None
        if reason:
            faults[row] = reason
        columns.add(cells)
    columns.flush()
    table = pa.Table.from_batches(columns.chunks)
    unnamed = [name for name in table.column_names if name.startswith("column ")]
    return CsvTable(table.drop_columns([name for name in unnamed if table[name].null_count == len(table)]), faults)


def _delimiter(head: str) -> str:
    return max(_DELIMITERS, key=head.count)


def _header(cells: Sequence[str], what: str, wanted: Collection[str] | None) -> list[str]:
    names = [" ".join(_FORMAT.sub("", cell).split()) or f"column {number}" for number, cell in enumerate(cells, 1)]
    refuse_equal_names(names, what, wanted)
    return names


def refuse_equal_names(names: Sequence[str], what: str, quoted: Collection[str] | None = None) -> None:
    """Raise InputError, which names both, where two columns have one name, blanks and letter case aside.

    quoted: names in lower case that the message may quote, None for all. Where a table has no header, its first row,
    which may be a patient's, is taken for one.
    """
    seen: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        key = " ".join(name.split()).lower()
        if (earlier := seen.setdefault(key, number)) != number:
            called = f"both called '{name}'" if quoted is None or key in quoted else "called the same"
            raise InputError(f"{what}: columns {earlier} and {number} are {called}; rename or remove one")


def _records(lines: list[str], delimiter: str, start: int, swallowing: Collection[int] = ()) -> Iterator[_Record]:
    """The records from line `start` on. A record that begins at one of the lines `swallowing` becomes a fault."""
    while start < len(lines):
        reader = csv.reader(islice(lines, start, None), delimiter=delimiter, strict=True, skipinitialspace=True)
        base = begin = start
        try:
            for cells in reader:
                end = base + reader.line_num
                if begin in swallowing:
                    raise csv.Error
                if cells and any(map(str.strip, cells)):
                    yield _Record(begin, end, cells)
                begin = end
            return
        except csv.Error:
            yield _Record(begin, begin + 1, None, f"line {begin + 1}: a quote is not closed, or stands inside a cell")
            start = begin + 1


def _swallowing(lines: list[str], delimiter: str, start: int, names: Sequence[str]) -> set[int]:
    """First lines of records with a cell over several lines that look like rows of their own."""
    key = next((place for place, name in enumerate(names) if name.lower() == "item_id"), 0)
    looks: list[set[str]] = [set() for _ in names]
    keys: set[str] = set()
    long: list[_Record] = []
    for number, record in enumerate(_records(lines, delimiter, start)):
        if record.cells is None or len(record.cells) != len(names):
            continue
        if record.end - record.start > 1:
            long.append(record)
        else:
            keys.add(record.cells[key].strip())
            if number < _SAMPLE:
                for seen, cell in zip(looks, record.cells):
                    seen.add(_look(cell))
    every = [*keys, *(record.cells[key].strip() for record in long if record.cells)]
    # What all keys begin with: "case-" of case-17 and case-18.
    prefix = re.split(r"\d", os.path.commonprefix(every))[0]  # noqa: RUF071 (character by character is right)
    return {
        record.start
        for record in long
        if any(
            line.lstrip(' "').startswith(prefix if key == 0 else "")
            and _looks_like_a_row(line, delimiter, key, keys, looks, record.cells or [])
            for line in lines[record.start + 1 : record.end]
        )
    }


def _looks_like_a_row(
    line: str, delimiter: str, key: int, keys: Collection[str], looks: Sequence[set[str]], own: Sequence[str]
) -> bool:
    """Whether a line has as many cells as the header, a new key, and cells that look as those of their columns do.

    own: cells of the record that the line is in; they tell the look of their columns as well, but for the long one.
    """
    if line.count(delimiter) < len(looks) - 1:
        return False
    cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    if len(cells) != len(looks) or not cells[key].strip() or cells[key].strip() in keys:
        return False
    columns = [
        seen if "\n" in cell or "\r" in cell or len(seen) > _LOOKS else seen | {_look(cell)}
        for seen, cell in zip(looks, own)
    ]
    told = [0 < len(column) <= _LOOKS and not any(" " in look for look in column) for column in columns]
    others = [place for place, cell in enumerate(cells) if place != key and cell.strip()]
    # A key alone proves nothing, nor do plain words without a number or a date in another column.
    words = _look(cells[key]).strip("a ") == ""
    if not others or (words and not any(told[place] and "9" in _look(cells[place]) for place in others)):
        return False
    return _look(cells[key]) in columns[key] and all(
        not cell.strip() or _look(cell) in column for cell, column, tells in zip(cells, columns, told) if tells
    )


def _look(cell: str) -> str:
    """What a cell looks like: a word is "a", a word with a digit in it "9"."""
    return re.sub(r"[^\W_]+", lambda word: "9" if re.search(r"\d", word[0]) else "a", cell.strip('" \t\r\n'))[:60]
