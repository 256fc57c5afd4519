"""Open-i (Indiana University chest X-rays): `ecgen-radiology/*.xml` and the images, unpacked anywhere below one folder.

https://openi.nlm.nih.gov/faq: NLMCXR_reports.tgz and NLMCXR_png.tgz (or the DICOM set). Labels are the major MeSH
headings, cut before the first "/", that at least 20 training items carry. The set names no patients, so each report is
a group of its own.
"""

import xml.etree.ElementTree as ElementTree

import pyarrow as pa

from mcmfh.archive.sources.rows import Row, images_below, keep_labels, labels_of, manifest_table
from mcmfh.errors import InputError
from mcmfh.store import files

LEAST_LABELLED = 20
# This heading means that nobody indexed the report; it says nothing about the image.
NOT_A_FINDING = frozenset({"No Indexing"})


def openi(folder: str) -> pa.Table:
    """One row for each image, with its report (findings and impression); a report without images is a row of its own.

    Raises InputError where `folder` holds no report, or a report is not XML.
    """
    root = files.absolute(folder)
    reports = [uri for uri, _ in files.walk(root) if uri.endswith(".xml")]
    if not reports:
        raise InputError(f"no report XML below '{folder}'; unpack NLMCXR_reports.tgz there")
    images = images_below(root)
    rows = [row for uri in sorted(reports, key=_number) for row in _rows(uri, images)]
    return keep_labels(manifest_table(rows), LEAST_LABELLED)


def headings(mesh: list[str]) -> list[str]:
    """Labels of MeSH entries: "Opacity/lung/apex/left" → "Opacity"."""
    return [name for name in labels_of([entry.split("/")[0] for entry in mesh]) if name not in NOT_A_FINDING]


def report_text(findings: str, impression: str) -> str | None:
    """Findings, then impression; None where both are empty."""
    return " ".join(" ".join([findings, impression]).split()) or None


def _rows(uri: str, images: dict[str, str]) -> list[Row]:
    try:
        document = ElementTree.fromstring(files.read(uri))
    except ElementTree.ParseError as error:
        raise InputError(f"'{uri}' is not XML ({error}); unpack NLMCXR_reports.tgz anew") from error
    sections = {part.get("Label", ""): part.text or "" for part in document.iter("AbstractText")}
    number = uri.rpartition("/")[2].removesuffix(".xml")
    shared: Row = {
        "study_id": f"CXR{number}",
        "report": report_text(sections.get("FINDINGS", ""), sections.get("IMPRESSION", "")),
        "labels": headings([entry.text or "" for entry in document.iter("major")]),
    }
    names = [image.get("id", "") for image in document.iter("parentImage")]
    paired = [{**shared, "item_id": name, "image_uri": images[name]} for name in names if name in images]
    return paired or ([{**shared, "item_id": shared["study_id"]}] if shared["report"] else [])


def _number(uri: str) -> tuple[int, str]:
    name = uri.rpartition("/")[2].removesuffix(".xml")
    return int(name) if name.isdigit() else 0, name
