"""Every documented layout, and exports in which a report is no report or not the last word."""

import gzip
import io
import json
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.dicom_file import dicom
from support.report_files import bundle, cda, coded, content, fhir, hl7, observed, pdf, section, structured_report
from typer.testing import CliRunner

from mcmfh.archive.discover import Survey, survey
from mcmfh.archive.images import Limits
from mcmfh.archive.loading import item_fingerprint, load_item
from mcmfh.archive.manifest import check_manifest
from mcmfh.archive.summary import summarise, summarise_survey
from mcmfh.cli import app

PIXELS = np.arange(64, dtype=np.uint16).reshape(8, 8)


def png() -> bytes:
    sink = io.BytesIO()
    Image.fromarray(PIXELS.astype(np.uint8)).save(sink, "PNG")
    return sink.getvalue()


def ct(study: str, patient: str = "p", **more) -> bytes:
    return dicom(PIXELS, StudyInstanceUID=study, PatientID=patient, Modality="CT", **more)


def taken_in(folder: Path, *names: str, **contents: bytes) -> tuple[dict[str, dict], Survey]:
    """Rows by the relative address of their picture, or else of their report; a file of `names` is by its ending."""
    for name in names:
        contents[name] = png() if name.endswith((".png", ".jpg")) else f"Words of {name}".encode()
    for name, data in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    found = survey(str(folder))
    assert not check_manifest(found.table)
    rows = {}
    for row in found.table.to_pylist():
        assert load_item(row, Limits(roots=(str(folder),))).reason is None
        for name in ("image_uri", "report_uri"):
            row[name] = row[name] and row[name].removeprefix(f"file://{folder}/")
        rows[row["image_uri"] or row["report_uri"]] = row
    return rows, found


def pairs(rows: dict[str, dict]) -> dict[str, str | None]:
    return {name: row["report_uri"] for name, row in rows.items()}


def together(rows: dict[str, dict], column: str) -> set[frozenset[str]]:
    """The sets of rows that share a value of `column`."""
    values: dict[str, set[str]] = {}
    for name, row in rows.items():
        values.setdefault(row[column], set()).add(name)
    return {frozenset(names) for names in values.values()}


def test_mimic(tmp_path):
    place = "files/p10/p10000001"
    names = [f"{place}/s5{n}.txt" for n in (1, 2)] + [f"{place}/s5{n}/{view}.jpg" for n in (1, 2) for view in "ab"]
    other = ["files/p11/p11000001/s61.txt", "files/p11/p11000001/s61/a.jpg"]
    rows, _ = taken_in(tmp_path, *names, *other)
    assert pairs(rows) == {
        **{f"{place}/s5{n}/{view}.jpg": f"{place}/s5{n}.txt" for n in (1, 2) for view in "ab"},
        other[1]: other[0],
    }
    assert {len(each) for each in together(rows, "study_id")} == {1, 2}
    assert {len(each) for each in together(rows, "group")} == {1, 4}


@pytest.mark.parametrize("reports", ["reports/files/p10/p1/s51.txt", "reports/s51.txt", "files/p10/p1/s51/s51.txt"])
def test_mimic_with_its_reports_elsewhere(tmp_path, reports):
    rows, _ = taken_in(tmp_path, reports, "files/p10/p1/s51/a.jpg", "files/p10/p1/s51/b.jpg", "files/p10/p1/s52/a.jpg")
    assert pairs(rows) == {
        "files/p10/p1/s51/a.jpg": reports,
        "files/p10/p1/s51/b.jpg": reports,
        "files/p10/p1/s52/a.jpg": None,
    }


def test_chexpert(tmp_path):
    names = [f"train/patient0000{p}/study{s}/view{v}_frontal.jpg" for p in (1, 2) for s in (1, 2) for v in (1, 2)]
    rows, _ = taken_in(tmp_path, *names)
    assert together(rows, "study_id") == {
        frozenset(name for name in names if f"{p}/study{s}/" in name) for p in (1, 2) for s in (1, 2)
    }
    assert together(rows, "group") == {frozenset(name for name in names if f"patient0000{p}/" in name) for p in (1, 2)}


def test_patient_and_study_folders_of_any_name(tmp_path):
    rows, _ = taken_in(
        tmp_path, "4711/A1/x.png", "4711/A1.txt", "4711/A2/x.png", "4711/A2.txt", "4712/A3/x.png", "4712/A3.txt"
    )
    assert pairs(rows) == {
        f"{p}/{a}/x.png": f"{p}/{a}.txt" for p, a in (("4711", "A1"), ("4711", "A2"), ("4712", "A3"))
    }
    assert together(rows, "group") == {frozenset({"4711/A1/x.png", "4711/A2/x.png"}), frozenset({"4712/A3/x.png"})}
    other = tmp_path.with_name(tmp_path.name + "-years")
    rows, _ = taken_in(other, "2020/A1/x.png", "2020/A1.txt", "2020/A2/x.png", "2020/A2.txt")
    assert len(together(rows, "group")) == 2


def test_one_report_of_several_pictures_by_prefix(tmp_path):
    rows, _ = taken_in(tmp_path, "7.txt", "7_front.png", "7-side.png", "77.png", "8_front.png", "77.txt")
    assert pairs(rows) == {"7_front.png": "7.txt", "7-side.png": "7.txt", "77.png": "77.txt", "8_front.png": None}
    assert rows["7_front.png"]["study_id"] == rows["7-side.png"]["study_id"]


def test_parallel_trees_with_equal_names(tmp_path):
    names = [f"{kind}/{p}/1.{ending}" for kind, ending in (("images", "png"), ("reports", "txt")) for p in ("a", "b")]
    rows, _ = taken_in(tmp_path, *names)
    assert pairs(rows) == {"images/a/1.png": "reports/a/1.txt", "images/b/1.png": "reports/b/1.txt"}


def test_series_folders_below_a_study(tmp_path):
    rows, _ = taken_in(tmp_path, "A1/ax/1.png", "A1/cor/1.png", "A1/report.txt", "A2/ax/1.png")
    assert pairs(rows) == {"A1/ax/1.png": "A1/report.txt", "A1/cor/1.png": "A1/report.txt", "A2/ax/1.png": None}
    assert rows["A1/ax/1.png"]["study_id"] == rows["A1/cor/1.png"]["study_id"]


SAID = [content("TEXT", "Finding", "Nodule")]


@pytest.mark.parametrize(
    "other",
    [
        structured_report([content("NUM", "Dose", ("5", "mGy"))], "1.2.840.10008.5.1.4.1.1.88.67"),
        structured_report(SAID, "1.2.840.10008.5.1.4.1.1.88.59"),
        structured_report(SAID, title=coded("Of Interest", "113000", "DCM")),
        structured_report(SAID, "1.2.840.10008.5.1.4.1.1.88.65"),
        structured_report([content("NUM", "Diameter", ("5", "mm"))], "1.2.840.10008.5.1.4.1.1.88.33"),
        hl7(observed("x"), kind="ADT^A01"),
        b'{"Modality": "MR", "PatientName": "DOE^JANE"}',
        json.dumps(fhir(status="entered-in-error", conclusion="x")).encode(),
        cda(section("x"), code="34133-9"),
    ],
)
@pytest.mark.parametrize("beside_a_report", [True, False])
def test_what_is_no_report_is_no_row(tmp_path, other, beside_a_report):
    contents = {"1/IM1": ct("1.2.1"), "1/OTHER": other}
    if beside_a_report:
        contents["1/SR"] = structured_report(SAID)
    rows, found = taken_in(tmp_path, **contents)
    assert pairs(rows) == {"1/IM1": "1/SR" if beside_a_report else None}
    assert found.passed_over.total() == 1
    assert "passed over" in "\n".join(summarise_survey(found))


@pytest.mark.parametrize(
    ("versions", "counts"),
    [
        ({"a": {"VerificationFlag": "UNVERIFIED"}, "b": {"VerificationFlag": "VERIFIED"}}, "b"),
        ({"a": {"CompletionFlag": "COMPLETE"}, "b": {"CompletionFlag": "PARTIAL"}}, "a"),
        ({"a": {"PreliminaryFlag": "PRELIMINARY"}}, "a"),
    ],
)
def test_a_preliminary_beside_a_final_structured_report(tmp_path, versions, counts):
    contents = {name: structured_report(SAID, **flags) for name, flags in versions.items()}
    rows, found = taken_in(tmp_path, IM1=ct("1.2.1"), **contents)
    assert pairs(rows) == {"IM1": counts}
    assert found.superseded == len(versions) - 1


def test_a_preliminary_beside_a_final_of_other_formats(tmp_path):
    def version(status: str, day: int) -> bytes:
        number = {"type": {"coding": [{"code": "ACSN"}]}, "value": "A77"}
        return json.dumps(
            fhir(status=status, conclusion=f"{status} {day}", identifier=[number], issued=f"2020-01-0{day}")
        ).encode()

    rows, found = taken_in(
        tmp_path,
        **{
            "IM1": ct("1.2.1", AccessionNumber="A77"),
            "draft.json": version("preliminary", 1),
            "first.json": version("final", 2),
            "second.json": version("final", 3),
            "draft.hl7": hl7(observed("x", status="P"), order="P"),
        },
    )
    assert pairs(rows) == {"IM1": "second.json"}
    assert found.superseded == 3


def test_keys_that_say_nobody_join_nothing(tmp_path):
    unknown = {"AccessionNumber": "NONE"}
    contents = {
        f"{n}/IM": ct(f"1.2.{n}", patient, **unknown) for n, patient in enumerate(("0", "unknown", "ANON", "nan"))
    }
    rows, found = taken_in(tmp_path, **contents)
    assert len(together(rows, "group")) == len(together(rows, "study_id")) == 4
    assert not found.keys["patient"]


def test_many_reports_in_one_file(tmp_path):
    lines = [
        fhir(conclusion=f"Nodule {n}", identifier=[{"type": {"coding": [{"code": "ACSN"}]}, "value": f"A{n}"}])
        for n in range(3)
    ]
    batch = b"\r".join(
        hl7(observed(f"Message {n}")).replace(b"A77", b"B%d" % n).replace(b"FI1", b"F%d" % n) for n in range(2)
    )
    contents = {f"{a}": ct(f"1.2.{n}", f"p{n}", AccessionNumber=a) for n, a in enumerate(("A0", "A2", "B1"))}
    rows, _ = taken_in(
        tmp_path, **contents, **{"export.ndjson": "\n".join(map(json.dumps, lines)).encode(), "batch.hl7": batch}
    )
    texts = {
        name: load_item({"report_uri": f"file://{tmp_path}/{row['report_uri']}"}).report for name, row in rows.items()
    }
    assert {texts[name] for name in ("A0", "A2", "B1")} == {"Nodule 0", "Nodule 2", "Message 1"}
    assert len(rows) == 5


def test_containers(tmp_path):
    members = {
        "s1/a.png": png(),
        "s1/report.txt": b"Words of one",
        "__MACOSX/s1/._a.png": b"x",
        "s1/n.nii.gz": b"\x1f\x8b",
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    plain, compressed = io.BytesIO(), io.BytesIO()
    for sink, mode in ((plain, "w:"), (compressed, "w:gz")):
        with tarfile.open(fileobj=sink, mode=mode) as archive:  # type: ignore[call-overload]
            for name, data in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    contents = {
        "x.zip": packed.getvalue(),
        "y.tar": plain.getvalue(),
        "z.tar.gz": compressed.getvalue(),
        "7.png": png(),
        "7.txt.gz": gzip.compress(b"Words of seven"),
        "8.dcm.gz": gzip.compress(ct("1.2.8")),
        "broken.zip": b"PK\x03\x04",
        "brain.nii.gz": gzip.compress(b"x"),
        "table.csv": b"a,b",
    }
    rows, found = taken_in(tmp_path, **contents)
    for name in ("x.zip", "y.tar", "z.tar.gz"):
        row = rows[f"{name}!/s1/a.png"]
        assert row["report_uri"] == f"{name}!/s1/report.txt"
        item = {key: row[key] and f"file://{tmp_path}/{row[key]}" for key in ("image_uri", "report_uri")}
        loaded = load_item(item, Limits(roots=(str(tmp_path),)))
        assert loaded.report == "Words of one"
        assert np.array_equal(loaded.image, PIXELS.astype(np.uint8))
        assert load_item({"image_uri": f"{tmp_path}/{name}!/none.png"}).reason == "image file not found"
        assert load_item(item, Limits(max_bytes=5)).reason == "file is larger than the limit"
        assert item_fingerprint(item) != item_fingerprint({"image_uri": item["image_uri"]})
    assert rows["8.dcm.gz!/8.dcm"]["modality"] == "CT"
    counted = {kind for kind, _ in found.passed_over}
    assert counted == {".zip", ".nii.gz", ".csv"}
    assert sum(count for (kind, _), count in found.passed_over.items() if kind == ".nii.gz") == 4


def test_documents_of_all_sorts_are_reports(tmp_path):
    contents = {
        "1": (pdf("Words one"), "pdf"),
        "2": (b"{\\rtf1 Words two}", "rtf"),
        "3": (b"<html><body>Words three</body></html>", "html"),
        "4": (cda(section("Words four")), "xml"),
        "5": (hl7(observed("Words five")), "hl7"),
        "6": (bundle(fhir(conclusion="Words six")), "json"),
        "7": (structured_report(SAID, EncapsulatedDocument=b""), "SR"),
    }
    files = {f"{n}.{ending}": data for n, (data, ending) in contents.items() if n != "7"}
    rows, _ = taken_in(tmp_path, *(f"{n}.png" for n in range(1, 7)), **files, **{"8": hl7(observed("Words eight"))})
    assert pairs(rows) == {**{f"{n}.png": f"{n}.{contents[str(n)][1]}" for n in range(1, 7)}, "8": "8"}


def test_links_end_no_job_and_are_counted(tmp_path):
    (tmp_path / "a").mkdir()
    for name, target in {"folder": "a", "dangling": "nowhere", "loop": "loop", "a/up": ".."}.items():
        (tmp_path / name).symlink_to(target)
    rows, found = taken_in(tmp_path, "a/1.png", "a/1.txt")
    assert pairs(rows) == {"a/1.png": "a/1.txt"}
    assert found.passed_over.total() == 4
    assert {reason for _, reason in found.passed_over} >= {"link to a folder is not followed", "link leads nowhere"}


def test_the_summary(tmp_path):
    contents = {f"{n}/IM": ct(f"1.2.{n}", "p1" if n < 3 else f"p{n}", AccessionNumber="SAME") for n in range(5)}
    _, found = taken_in(tmp_path, "x.txt", **contents)
    lines = "\n".join(summarise_survey(found))
    assert "5 images: 0 with a report, 5 without" in lines
    assert "1 rows with a report: 1 of them without an image" in lines
    assert "4 patients (or groups), 6 studies: 3 with 1, 1 with 3 to 5" in lines
    assert "  5 × SAME" in lines
    assert "  3 × p1" in lines
    assert "4 patients (or groups)" in "\n".join(summarise(found.table))


def test_the_commands(tmp_path):
    archive = tmp_path / "archive"
    taken_in(archive, "s1/a.png", "s1.txt", "b.nii")
    output = str(tmp_path / "out" / "m.parquet")
    run = CliRunner().invoke(app, ["manifest", str(archive), output])
    assert run.exit_code == 0, run.output
    assert "1 images: 1 with a report" in run.output
    assert "1 × .nii: neither picture nor report" in run.output
    setting = f"archive.roots=[file://{tmp_path}/out, file://{archive}]"
    assert setting in run.output
    run = CliRunner().invoke(app, ["check", output])
    assert run.exit_code == 1
    assert "2 addresses are outside archive.roots" in run.output
    assert setting in run.output
    assert CliRunner().invoke(app, ["check", output, "--root", str(archive)]).exit_code == 0


def test_versions_without_headers_in_the_folder_of_the_pictures(tmp_path):
    versions = {name: json.dumps(fhir(status=name, conclusion=name)).encode() for name in ("preliminary", "final")}
    for folder in ("s1", "odd name"):
        taken_in(tmp_path / folder, f"{folder}/i.png", f"{folder}/j.png")
        for name, data in versions.items():
            (tmp_path / folder / folder / f"{name}.json").write_bytes(data)
        found = survey(str(tmp_path / folder))
        assert [row["report_uri"].rpartition("/")[2] for row in found.table.to_pylist()] == ["final.json"] * 2
        assert found.superseded == 1


def test_names_of_any_bytes_end_no_job(tmp_path):
    for name in (b"caf\xe9.png", b"ok.png", b"new!.png"):
        (tmp_path / os.fsdecode(name)).write_bytes(png())
    found = survey(str(tmp_path))
    assert found.table.num_rows == 2
    assert found.passed_over == {("name that is not UTF-8", "file cannot be addressed"): 1}


def test_a_folder_whose_name_ends_as_the_mark_of_a_member(tmp_path):
    folder = tmp_path / "new!"
    taken_in(tmp_path, "new!/a.png", "new!/b.png")
    (folder / "r.ndjson").write_bytes(
        b"\n".join(json.dumps(fhir(conclusion=said, subject={"reference": said})).encode() for said in ("one", "two"))
    )
    rows = survey(str(tmp_path)).table.select(["image_uri", "report_uri"]).to_pylist()
    assert sorted(load_item(row).report or "" for row in rows) == ["", "", "one", "two"]
    before = [item_fingerprint(row) for row in rows]
    for row in rows:
        if row["image_uri"]:
            Path(row["image_uri"].removeprefix("file://")).write_bytes(png() + b"more")
    assert sum(item_fingerprint(row) != fingerprint for row, fingerprint in zip(rows, before)) == 2
