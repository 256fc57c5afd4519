"""The phantom: reproducible, honest (what a report says is in the picture, on its side), broken where it says so."""

import io
import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from mcmfh.archive.images import Limits, decode_image
from mcmfh.archive.loading import load_items
from mcmfh.archive.manifest import check_manifest, read_manifest
from mcmfh.errors import InputError
from mcmfh.phantom import write_phantom
from mcmfh.phantom.anatomy import Canvas, Finding, noise
from mcmfh.phantom.broken import KINDS, plan_damage
from mcmfh.phantom.files import hand_over
from mcmfh.phantom.grammar import write_report
from mcmfh.phantom.studies import EXAMS, Exam, Kind, sample_studies
from mcmfh.phantom.vocabulary import WORDS
from mcmfh.store import files

FINDINGS = [(exam, kind) for exam in EXAMS for kind in exam.kinds]
named = pytest.mark.parametrize(("exam", "kind"), FINDINGS, ids=[f"{exam.name} {kind.name}" for exam, kind in FINDINGS])


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return write_phantom(str(tmp_path_factory.mktemp("phantom")), studies=80, seed=3)


def test_same_seed_same_bytes(archive, tmp_path):
    again = write_phantom(str(tmp_path), studies=80, seed=3)

    def contents(manifest: str) -> dict[str, bytes]:
        folder = files.parent(manifest)
        return {uri.removeprefix(folder): files.read(uri) for uri, _ in files.walk(folder)}

    assert contents(again) == contents(archive)


def test_what_is_complete_is_left_alone_and_another_phantom_is_refused(archive):
    folder = files.parent(archive)
    before = {uri: info["version"] for uri, info in files.walk(folder)}
    assert write_phantom(folder, studies=80, seed=3) == archive
    assert {uri: info["version"] for uri, info in files.walk(folder)} == before
    with pytest.raises(InputError, match="another phantom"):
        write_phantom(folder, studies=81, seed=3)
    with pytest.raises(InputError, match="too small"):
        write_phantom(folder + "/x", studies=3)


def test_every_broken_input_gives_its_reason_and_no_other_does(archive):
    table = read_manifest(archive, ["modality", "region"])
    found = {fault.row: fault.reason for fault in check_manifest(table)}
    for row, loaded in zip(table.to_pylist(), load_items(table.to_pylist())):
        if loaded.reason:
            found.setdefault(row["row"], loaded.reason)
        else:
            assert loaded.image is not None
            assert loaded.report
    broken = files.read_json(files.join(files.parent(archive), "broken.json"))
    assert found == {one["row"]: one["reason"] for one in broken}
    assert {one["kind"] for one in broken} == {kind.kind for kind in KINDS}


def test_a_few_per_cent_are_broken():
    assert len(plan_damage(1200, 0.03, 0)) == 36
    assert 0 not in plan_damage(1200, 0.03, 0)


def test_hospital_formats(archive):
    folder = files.join(files.parent(archive), "images")
    assert {name.rpartition(".")[2] for name in files.names(folder)} == {"dcm", "png", "jpg"}
    import pydicom

    headers = [
        pydicom.dcmread(io.BytesIO(files.read(files.join(folder, name))))
        for name in files.names(folder)
        if name.endswith("dcm")
    ]
    assert {header.PhotometricInterpretation for header in headers} == {"MONOCHROME1", "MONOCHROME2"}
    assert {header.BitsStored for header in headers} >= {12, 16}
    assert any("RescaleIntercept" in header for header in headers)
    assert all(header.PatientID.startswith("P") for header in headers)


def test_dicom_shows_the_picture_that_was_drawn():
    import pydicom

    compared = 0
    for study in sample_studies(100, seed=1):
        handover = hand_over(study)
        if not handover.image_name.endswith("dcm"):
            continue
        assert handover.image
        if "WindowWidth" in pydicom.dcmread(io.BytesIO(handover.image)):  # without one the grey scale is the reader's
            decoded = np.asarray(decode_image(handover.image, Limits())).astype(int)
            step = 255 / study.exam.window[1] if study.exam.modality in ("CT", "MR") else 0  # of one stored unit
            assert np.abs(decoded - handover.shown).max() <= 2 + step
            compared += 1
    assert compared > 20


@pytest.mark.parametrize("seed", [0, 1])
def test_studies(seed):
    studies = sample_studies(2000, seed)
    assert [study.number for study in studies] == list(range(2000))
    assert sample_studies(2000, seed) == studies
    visits = Counter(study.patient.number for study in studies)
    assert set(visits.values()) == {1, 2, 3}
    assert {study.exam.name for study in studies} == {exam.name for exam in EXAMS}
    assert all(study.patient.female for study in studies if study.exam.region == "uterus")
    assert 7 < (max(study.date for study in studies) - min(study.date for study in studies)).days / 365 <= 8
    normal = sum(not study.findings for study in studies) / 2000
    assert 0.15 < normal < 0.35
    labels = [frozenset(study.labels) for study in studies]
    rng = np.random.default_rng(0)
    chance = np.mean([bool(labels[a] & labels[b]) for a, b in rng.integers(0, 2000, (20_000, 2)) if a != b])
    assert chance < 0.25


def drawn(exam: Exam, findings: list[Finding], seed: int) -> np.ndarray:
    """What a reader sees, 0 to 1, of the same patient in the same position; grain aside."""
    canvas = Canvas(224, np.random.default_rng([seed, 1]), np.random.default_rng([seed, 2]))
    exam.draw(canvas, findings)
    centre, width = exam.window
    shown = np.clip((canvas.pixels - centre) / width + 0.5, 0, 1)
    return shown.reshape(56, 4, 56, 4).mean((1, 3))


@named
def test_a_finding_can_be_seen_and_lies_on_its_side(exam: Exam, kind: Kind):
    for side in ("left", "right") if kind.sided else ("",):
        finding = Finding(kind.name, side, "large" if kind.sized else "")
        for seed in range(3):
            # Of the hand and the knee the finding's side is the side that was examined.
            change = np.abs(drawn(exam, [finding], seed) - drawn(exam, [replace(finding, name="none")], seed))
            assert change.max() > 0.15
            if kind.sided and exam.region not in ("hand", "knee"):
                change[change < 0.5 * change.max()] = 0
                centre = (change.sum(0) * np.linspace(-1, 1, 56)).sum() / change.sum()
                assert centre > 0 if side == "left" else centre < 0


@named
def test_size_and_number_matter(exam: Exam, kind: Kind):
    if kind.sized:
        small, large = (drawn(exam, [Finding(kind.name, "left", size)], 1) for size in ("small", "large"))
        assert np.abs(small - large).max() > 0.04
    if kind.many:
        single, multiple = (drawn(exam, [Finding(kind.name, "left", "small", n)], 1) for n in ("single", "multiple"))
        assert np.abs(single - multiple).max() > 0.04


def nouns(exam: Exam, name: str) -> set[str]:
    key = next(key for key in (f"{exam.region} {name}", f"{exam.modality} {name}", name) if key in WORDS)
    return {word.lower() for pair in WORDS[key][0] for word in pair if word}


def test_reports_name_what_is_there_and_deny_only_what_is_not():
    for study in sample_studies(600, seed=2):
        text = write_report(study, np.random.default_rng(study.number))
        assert not set("[]{}|^") & set(text)
        for finding in study.findings:
            assert any(noun in text.lower() for noun in nouns(study.exam, finding.name))
            assert finding.side in text.lower()
            denials = [
                part.lower() for part in text.split(". ") if part.lower().startswith(("no ", "absence", "there is no "))
            ]
            first = WORDS[
                next(
                    k
                    for k in (
                        f"{study.exam.region} {finding.name}",
                        f"{study.exam.modality} {finding.name}",
                        finding.name,
                    )
                    if k in WORDS
                )
            ][0][0][0]
            assert not any(f"no {first}" in denial for denial in denials)


@named
def test_hundreds_of_wordings(exam: Exam, kind: Kind):
    study = next(one for one in sample_studies(100, seed=0) if one.earlier is None)
    finding = Finding(kind.name, "left" if kind.sided else "", "small" if kind.sized else "")
    study = replace(study, exam=exam, findings=(finding,))
    texts = {write_report(study, np.random.default_rng(seed)) for seed in range(600)}
    assert len(texts) > 400


def test_noise_is_smooth_and_about_standard_normal():
    field = noise(256, 12, np.random.default_rng(0))
    assert field.dtype == np.float32
    assert 0.5 < field.std() < 1.2
    assert np.abs(np.diff(field, axis=0)).max() < 0.5


def test_the_record_of_broken_inputs_is_plain_json(archive):
    records = json.loads(files.read(files.join(files.parent(archive), "broken.json")))
    assert all(set(record) == {"row", "item_id", "kind", "reason"} for record in records)
