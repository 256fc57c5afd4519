"""Makes a manifest of a folder that a hospital exported: DICOM, pictures and reports, joined by study.

How they are joined is written down in `layouts`; what a file is, in `inspection`. Patient identifiers enter the
manifest as digests.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from mcmfh.archive.inspection import Inspected, inspect
from mcmfh.archive.layouts import join, patient_folder
from mcmfh.archive.manifest import SCHEMA
from mcmfh.archive.splits import split_of
from mcmfh.errors import InputError
from mcmfh.store import files

_COLUMNS = pa.schema([*SCHEMA, ("modality", pa.string()), ("region", pa.string())])
_AHEAD = 4096  # files whose headers are read ahead


@dataclass(frozen=True)
class Survey:
    """A folder taken in: its manifest, and what became no row of it.

    passed_over: (kind of file, reason) → how many. superseded: reports left out because a later or final version stands
    beside them. keys: joining key → its values and how often each occurs, as they stand in the files.
    """

    table: pa.Table
    passed_over: Counter[tuple[str, str]] = field(default_factory=Counter)
    superseded: int = 0
    keys: dict[str, Counter[str]] = field(default_factory=dict)


def discover(uri: str, threads: int = 16) -> pa.Table:
    """The manifest of the files below `uri`, as in `survey`."""
    return survey(uri, threads).table


def survey(uri: str, threads: int = 16) -> Survey:
    """The manifest (SCHEMA, modality, region) of the files below `uri`: one row for each image or unpaired report.

    Labels are empty. `group` is the patient, or the study where no patient is named; splits are by group. Raises
    InputError where the folder holds no image and no report.
    """
    root = files.absolute(uri)
    inspected, passed_over = [], Counter[tuple[str, str]]()
    attached: set[str] = set()
    for found in _inspected(root, threads):
        if found.passed_over:
            passed_over[found.kind, found.reason] += 1
        else:
            inspected.append(found)
            attached.update(found.attached)
    inspected = [file for file in inspected if file.uri not in attached]
    if not inspected:
        raise InputError(f"no DICOM, image or report files below '{uri}'; give the folder that holds them")
    images = [file for file in inspected if not file.is_report]
    study_of = join(images, [file for file in inspected if file.is_report], root)
    by_study: dict[str, list[Inspected]] = defaultdict(list)
    for file in inspected:
        by_study[study_of[file.uri]].append(file)
    rows, superseded = [], 0
    for study in sorted(by_study):
        standing = _standing(by_study[study])
        superseded += len(by_study[study]) - len(standing)
        rows += _rows(study, standing, root)
    table = pa.Table.from_pylist([{**row, "row": number} for number, row in enumerate(rows)], schema=_COLUMNS)
    return Survey(table, passed_over, superseded, _keys(inspected))


def _inspected(root: str, threads: int) -> Iterator[Inspected]:
    """What every file below `root` holds, in the order of their addresses."""
    uris = [name for name, _ in files.walk(root)]
    with ThreadPoolExecutor(threads, thread_name_prefix="header") as pool:
        for start in range(0, len(uris), _AHEAD):
            for found in pool.map(inspect, uris[start : start + _AHEAD]):
                yield from found


def _standing(inspected: Sequence[Inspected]) -> list[Inspected]:
    """The files of a study without reports that a final or later version replaces."""
    reports = [file for file in inspected if file.is_report]
    best = max((report.status for report in reports), default=None)
    top = [report for report in reports if report.status == best]
    newest: dict[str, Inspected] = {}
    for report in top:
        key = report.name or report.uri
        if key not in newest or report.issued >= newest[key].issued:
            newest[key] = report
    kept = {report.uri for report in newest.values()}
    return [file for file in inspected if not file.is_report or file.uri in kept]


def _rows(study: str, inspected: Sequence[Inspected], root: str) -> list[dict[str, Any]]:
    """One row for each image, with the study's report where it has just one; other reports become rows too."""
    images = [file for file in inspected if not file.is_report]
    reports = [file for file in inspected if file.is_report]
    with_report = reports[0] if len(reports) == 1 else None
    pairs: list[tuple[Inspected, Inspected | None, Inspected | None]] = [
        (image, image, with_report) for image in images
    ]
    if not images or len(reports) > 1:
        pairs += [(report, None, report) for report in reports]
    study_id = _digest(study.removeprefix(root))
    group = _group(study, [*images, *reports], root) or study_id
    return [
        {
            "item_id": _digest(file.uri.removeprefix(root)),
            "image_uri": image.uri if image else None,
            "report_uri": report.uri if report else None,
            "study_id": study_id,
            "group": group,
            "labels": [],
            "split": split_of(group),
            "date": file.date or next((other.date for other in [*images, *reports] if other.date), None),
            "modality": file.modality,
            "region": file.region,
        }
        for file, image, report in pairs
    ]


def _group(study: str, inspected: Sequence[Inspected], root: str) -> str:
    """The digest of the patient whom a header or else a folder names; "" where none does."""
    named = next((file.patient for file in inspected if file.patient), "")
    folder = named or next(filter(None, (patient_folder(file, study, root) for file in inspected)), "").removeprefix(
        root
    )
    return _digest(folder) if folder else ""


def _keys(inspected: Sequence[Inspected]) -> dict[str, Counter[str]]:
    columns = {
        "patient": (file.patient.removeprefix("|") for file in inspected),
        "StudyInstanceUID": (file.study for file in inspected),
        "accession number": (file.accession for file in inspected),
        "file name": (file.stem for file in inspected),
        "folder": (file.folder for file in inspected),
    }
    return {name: Counter(filter(None, values)) for name, values in columns.items()}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]
