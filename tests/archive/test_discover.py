"""Exports of several hospitals, joined by study."""

import io
import json

import numpy as np
import pydicom
import pytest
from PIL import Image
from support.dicom_file import dicom

from mcmfh.archive.discover import discover
from mcmfh.archive.loading import load_item
from mcmfh.archive.manifest import SCHEMA, check_manifest, read_manifest, write_manifest
from mcmfh.errors import InputError
from mcmfh.phantom import write_phantom
from mcmfh.store import files

PIXELS = np.arange(64, dtype=np.uint16).reshape(8, 8)


def png() -> bytes:
    sink = io.BytesIO()
    Image.fromarray(PIXELS.astype(np.uint8)).save(sink, "PNG")
    return sink.getvalue()


def slice_of(study: str, patient: str, number: int = 0, **more) -> bytes:
    return dicom(
        PIXELS + number, StudyInstanceUID=study, PatientID=patient, Modality="CT", StudyDate="20200131", **more
    )


def structured_report(study: str) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(slice_of(study, "p1")))
    del dataset.PixelData, dataset.Rows, dataset.Columns
    text = pydicom.Dataset()
    text.ValueType, text.TextValue = "TEXT", "said in SR"
    dataset.ContentSequence = [text]
    sink = io.BytesIO()
    dataset.save_as(sink)
    return sink.getvalue()


def found(tmp_path, contents: dict[str, bytes]) -> dict[str, dict]:
    """Rows by the relative address of their image, or else of their report."""
    for name, data in contents.items():
        files.create(str(tmp_path / name), data)
    table = discover(str(tmp_path))
    assert not check_manifest(table)
    root = files.absolute(str(tmp_path)) + "/"
    rows = {}
    for row in table.to_pylist():
        for name in ("image_uri", "report_uri"):
            row[name] = row[name] and row[name].removeprefix(root)
        rows[row["image_uri"] or row["report_uri"]] = row
    return rows


def test_dicom_studies_with_reports_by_accession_and_in_sr(tmp_path):
    rows = found(
        tmp_path,
        {
            "a/IM0001": slice_of("1.2.1", "p1", AccessionNumber="A77", BodyPartExamined="CHEST"),
            "a/IM0002": slice_of("1.2.1", "p1", 1, AccessionNumber="A77"),
            "b/IM0001": slice_of("1.2.2", "p1", 2),
            "b/SR0001": structured_report("1.2.2"),
            "c/IM0001": slice_of("1.2.3", "p2", 3),
            "texts/A77.txt": b"of study one",
            "texts/unknown.txt": b"of nobody",
            "DICOMDIR.bak": b"not DICOM",
        },
    )
    assert rows["a/IM0001"]["report_uri"] == rows["a/IM0002"]["report_uri"] == "texts/A77.txt"
    assert rows["a/IM0001"]["study_id"] == rows["a/IM0002"]["study_id"] != rows["b/IM0001"]["study_id"]
    assert rows["a/IM0001"]["group"] == rows["b/IM0001"]["group"] != rows["c/IM0001"]["group"]
    assert rows["b/IM0001"]["report_uri"] == "b/SR0001"
    assert rows["c/IM0001"]["report_uri"] is None
    assert rows["texts/unknown.txt"]["image_uri"] is None
    assert len(rows) == 5
    first = rows["a/IM0001"]
    assert (first["date"], first["modality"], first["region"]) == ("2020-01-31", "CT", "chest")
    assert "p1" not in json.dumps({key: first[key] for key in ("group", "item_id", "study_id")})


def test_equal_stems_beside_each_other_and_in_parallel_folders(tmp_path):
    rows = found(
        tmp_path,
        {
            "p1/1.png": png(),
            "p1/1.txt": b"a",
            "p2/1.png": png(),
            "p2/1.txt": b"b",
            "images/7.png": png(),
            "reports/7.json": b"c",
        },
    )
    assert rows["p1/1.png"]["report_uri"] == "p1/1.txt"
    assert rows["p2/1.png"]["report_uri"] == "p2/1.txt"
    assert rows["images/7.png"]["report_uri"] == "reports/7.json"
    assert len({row["study_id"] for row in rows.values()}) == len(rows) == 3


def test_a_folder_with_one_report_is_a_study(tmp_path):
    rows = found(
        tmp_path,
        {
            "s1/front.png": png(),
            "s1/side.jpg": png(),
            "s1/report.txt": b"both views",
            "s2/front.png": png(),
            "s2/report.txt": b"one view",
            "s3/x.dcm": slice_of("1.2.9", "p"),
            "s3/report.txt": b"by folder",
            "s4/x.dcm": slice_of("1.2.10", "p", 1),
            "s4/y.dcm": slice_of("1.2.11", "p", 2),
            "s4/report.txt": b"of which study?",
        },
    )
    assert rows["s1/front.png"]["report_uri"] == rows["s1/side.jpg"]["report_uri"] == "s1/report.txt"
    assert rows["s1/front.png"]["study_id"] == rows["s1/side.jpg"]["study_id"] != rows["s2/front.png"]["study_id"]
    assert rows["s2/front.png"]["report_uri"] == "s2/report.txt"
    assert rows["s3/x.dcm"]["report_uri"] == "s3/report.txt"
    assert rows["s4/x.dcm"]["report_uri"] is rows["s4/y.dcm"]["report_uri"] is None
    assert rows["s4/report.txt"]["image_uri"] is None


def test_broken_dicom_is_a_row_with_a_reason_later(tmp_path):
    rows = found(tmp_path, {"x.dcm": bytes(128) + b"DICM" + b"\xff" * 50, "y.png": b"no picture"})
    assert set(rows) == {"x.dcm", "y.png"}
    for row in rows.values():
        assert load_item({**row, "image_uri": str(tmp_path / row["image_uri"])}).reason


def test_the_phantom_is_found_as_it_was_written(tmp_path):
    written = read_manifest(write_phantom(str(tmp_path), studies=40, seed=5), ["modality"])
    table = discover(str(tmp_path))
    report_of = {row["image_uri"]: row["report_uri"] for row in table.to_pylist() if row["image_uri"]}
    for row in written.to_pylist():
        if files.exists(row["image_uri"]):
            assert report_of[row["image_uri"]] == row["report_uri"]
    write_manifest(table, str(tmp_path / "found.parquet"))
    assert read_manifest(str(tmp_path / "found.parquet")).schema == SCHEMA


def test_an_empty_folder_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="no DICOM, image or report"):
        discover(str(tmp_path))
