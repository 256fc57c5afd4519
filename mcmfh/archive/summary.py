"""What an archive comes to, in lines for a terminal, before anything heavy starts.

It shows what faults alone do not: images without a report, patients with a thousand studies, one accession number for
everybody. Values stand in it as they stand in the files, so it is for the terminal of its owner and for no log.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mcmfh.archive.discover import Survey

_MOST_REPEATED = 10
_KEYS = ("group", "study_id", "image_uri", "report_uri")
_WIDTH = 70  # characters of a value


def summarise(table: pa.Table, keys: Mapping[str, Counter[str]] | None = None) -> Iterator[str]:
    """Lines on a manifest table: images and reports, studies a patient, the most repeated values of every joining key.

    keys: joining key → how often each value occurs, where that is known from headers; else the columns of the table.
    """
    image, report = _valid(table["image_uri"]), pc.or_(_valid(table["report"]), _valid(table["report_uri"]))
    both, images, reports = (_count(mask) for mask in (pc.and_(image, report), image, report))
    yield f"{images:,} images: {both:,} with a report, {images - both:,} without"
    yield f"{reports:,} rows with a report: {reports - both:,} of them without an image"
    yield from _studies(table)
    for name, counts in (_repeated(table) if keys is None else keys).items():
        repeated = [(value, count) for value, count in counts.most_common(_MOST_REPEATED) if count > 1]
        if repeated:
            yield f"most repeated values of {name} ({len(counts):,} different):"
            yield from (f"  {count:,} × {_short(value)}" for value, count in repeated)


def summarise_survey(survey: Survey) -> Iterator[str]:
    """As `summarise`, of a folder; also what was passed over, by kind."""
    yield from summarise(survey.table, survey.keys)
    if survey.superseded:
        yield f"{survey.superseded:,} reports left out: a final or later version stands beside them"
    if survey.passed_over:
        yield f"{survey.passed_over.total():,} files passed over:"
        for (kind, reason), count in survey.passed_over.most_common():
            yield f"  {count:,} × {kind}: {reason}"


def _studies(table: pa.Table) -> Iterator[str]:
    pairs = table.select(["group", "study_id"]).group_by(["group", "study_id"]).aggregate([])
    patients = pairs.group_by("group").aggregate([("study_id", "count")])["study_id_count"].to_pylist()
    if patients:
        bounds = ((1, 1), (2, 2), (3, 5), (6, 10), (11, 100), (101, 10**12))
        counted = ((low, high, sum(low <= studies <= high for studies in patients)) for low, high in bounds)
        names = (f"{count:,} with {_span(low, high)}" for low, high, count in counted if count)
        yield f"{len(patients):,} patients (or groups), {len(pairs):,} studies: {', '.join(names)}"


def _span(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}" if high < 10**12 else f"more than {low - 1}"


def _repeated(table: pa.Table) -> dict[str, Counter[str]]:
    """How often each value of a joining key occurs; keys that a row only took from its item_id are left out."""
    own = {name: table[name] for name in _KEYS}
    for name in ("group", "study_id"):
        own[name] = own[name].filter(pc.fill_null(pc.not_equal(own[name], table["item_id"]), False))
    counted: dict[str, Counter[str]] = {}
    for name, column in own.items():
        counts: list[dict[str, Any]] = pc.value_counts(column.drop_null().combine_chunks()).to_pylist()
        counted[name] = Counter({each["values"]: each["counts"] for each in counts})
    return counted


def _valid(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.is_valid(column)


def _count(mask: pa.ChunkedArray) -> int:
    return int(pc.sum(mask).as_py() or 0)


def _short(value: str) -> str:
    return value if len(value) <= _WIDTH else f"…{value[1 - _WIDTH :]}"
