"""Makes a manifest of a folder that a hospital exported: DICOM, pictures and reports, joined by study.

A report is joined by the first of these rules that applies:

1. the images with its StudyInstanceUID or AccessionNumber, which stand in its header or are its file name;
2. the image in the same folder with the same file stem;
3. the images anywhere with the same stem, where they are of one study and no other report has that stem;
4. the images of its sub-folder, where it is the only report in it.

Only headers are read. Patient identifiers enter the manifest as digests.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from mcmfh.archive.dicom import read_dicom
from mcmfh.archive.images import DecodeError, looks_like_dicom
from mcmfh.archive.manifest import SCHEMA
from mcmfh.archive.splits import split_of
from mcmfh.errors import InputError
from mcmfh.store import files

_PICTURES = ("png", "jpg", "jpeg", "tif", "tiff", "webp")
_REPORTS = ("txt", "json")
_HEAD = 1 << 18  # bytes: enough for the header of nearly every DICOM file
_MAX_HEADER = 64 << 20
_COLUMNS = pa.schema([*SCHEMA, ("modality", pa.string()), ("region", pa.string())])


@dataclass(frozen=True)
class _File:
    """An image or report file with the facts from its name and header."""

    uri: str
    is_report: bool
    folder: str
    stem: str
    study: str = ""  # StudyInstanceUID
    accession: str = ""
    patient: str = ""
    date: str | None = None
    modality: str | None = None
    region: str | None = None

    @property
    def own_study(self) -> str:
        return self.study or self.accession or f"{self.folder}/{self.stem}"


def discover(uri: str, threads: int = 16) -> pa.Table:
    """The manifest (SCHEMA, modality, region) of the files below `uri`: one row for each image or unpaired report.

    Labels are empty. `group` is the patient, or the study where no patient is named; splits are by group. Raises
    InputError where the folder holds no image and no report.
    """
    root = files.absolute(uri)
    with ThreadPoolExecutor(threads, thread_name_prefix="header") as pool:
        inspected = [file for file in pool.map(_inspect, [name for name, _ in files.walk(root)]) if file]
    if not inspected:
        raise InputError(f"no DICOM, image or report files below '{uri}'; give the folder that holds them")
    images = [file for file in inspected if not file.is_report]
    reports = [file for file in inspected if file.is_report]
    study_of = _join(images, reports, root)
    by_study: dict[str, list[_File]] = defaultdict(list)
    for file in inspected:
        by_study[study_of[file.uri]].append(file)
    rows = [row for study in sorted(by_study) for row in _rows(study, by_study[study], root)]
    return pa.Table.from_pylist([{**row, "row": number} for number, row in enumerate(rows)], schema=_COLUMNS)


def _inspect(uri: str) -> _File | None:
    """The file, classified by its ending, or by its content where it may be DICOM; None where it is neither."""
    folder, _, name = uri.rpartition("/")
    stem, _, ending = name.rpartition(".") if "." in name else (name, "", "")
    ending = ending.lower()
    if ending in _PICTURES or (ending in _REPORTS and stem not in ("broken", "phantom")):
        return _File(uri, ending in _REPORTS, folder, stem)
    data = files.read(uri, 0, _HEAD) if files.size(uri) else b""
    if not looks_like_dicom(data):
        return None
    header = _header(data) or (_header(files.read(uri, 0, _MAX_HEADER)) if len(data) == _HEAD else None)
    if header is None:  # a broken file still becomes a row, so that it is quarantined with a reason
        return _File(uri, False, folder, stem)
    is_report = "ContentSequence" in header
    return _from_header(uri, header, is_report, folder, stem) if is_report or "Rows" in header else None


def _header(data: bytes) -> Any | None:
    try:
        return read_dicom(data, _MAX_HEADER, pixels=False)
    except DecodeError:
        return None


def _from_header(uri: str, header: Any, is_report: bool, folder: str, stem: str) -> _File:
    def text(name: str) -> str:
        try:
            return str(header.get(name) or "").strip()
        except Exception:  # pydicom parses an element on first access; a broken one counts as missing
            return ""

    date = re.fullmatch(r"(\d{4})\.?(\d{2})\.?(\d{2})", text("StudyDate"))
    return _File(
        uri,
        is_report,
        folder,
        stem,
        study=text("StudyInstanceUID"),
        accession=text("AccessionNumber"),
        patient=_digest(f"{text('IssuerOfPatientID')}|{text('PatientID')}") if text("PatientID") else "",
        date="-".join(date.groups()) if date else None,
        modality=text("Modality") or None,
        region=text("BodyPartExamined").lower() or None,
    )


def _join(images: Sequence[_File], reports: Sequence[_File], root: str) -> dict[str, str]:
    """URI → study. Images follow their own headers; a report takes the study of the first rule that applies."""
    study_of = {image.uri: image.own_study for image in images}
    named: dict[str, set[str]] = defaultdict(set)  # studies by UID, accession number, path, stem, folder
    for image in images:
        study = image.own_study
        for name in (
            image.study,
            image.accession,
            f"{image.folder}/{image.stem}",
            f"*/{image.stem}",
            f"{image.folder}/*",
        ):
            named[name].add(study)
    stems, folders = Counter(report.stem for report in reports), Counter(report.folder for report in reports)
    for report in reports:
        names = [report.study, report.accession, report.stem, f"{report.folder}/{report.stem}"]
        if stems[report.stem] == 1:
            names.append(f"*/{report.stem}")
        candidates = [named[name] for name in names if name and len(named[name]) == 1]
        beside = named[f"{report.folder}/*"]
        if candidates:
            study_of[report.uri] = next(iter(candidates[0]))
        elif (
            beside and folders[report.folder] == 1 and report.folder != root and not (report.study or report.accession)
        ):
            study_of[report.uri] = min(beside)
            if all(study.startswith(f"{report.folder}/") for study in beside):  # plain pictures: the folder is a study
                study_of.update((image.uri, min(beside)) for image in images if image.folder == report.folder)
            elif len(beside) > 1:
                study_of[report.uri] = report.own_study
        else:
            study_of[report.uri] = report.own_study
    return study_of


def _rows(study: str, inspected: list[_File], root: str) -> list[dict[str, Any]]:
    """One row for each image, with the study's report where it has just one; other reports become rows too."""
    images = [file for file in inspected if not file.is_report]
    reports = [file for file in inspected if file.is_report]
    with_report = reports[0] if len(reports) == 1 else None
    pairs: list[tuple[_File, _File | None, _File | None]] = [(image, image, with_report) for image in images]
    if not images or len(reports) > 1:
        pairs += [(report, None, report) for report in reports]
    study_id = _digest(study.removeprefix(root))
    group = next((file.patient for file in inspected if file.patient), study_id)
    return [
        {
            "item_id": _digest(file.uri.removeprefix(root)),
            "image_uri": image.uri if image else None,
            "report_uri": report.uri if report else None,
            "study_id": study_id,
            "group": group,
            "labels": [],
            "split": split_of(group),
            "date": file.date or next((other.date for other in inspected if other.date), None),
            "modality": file.modality,
            "region": file.region,
        }
        for file, image, report in pairs
    ]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]
