"""Twins across splits: recompressed, shrunk and brightened copies are found, other pictures are not; groups merge."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from typer.testing import CliRunner

from mcmfh.archive.duplicates import (
    CORRELATION,
    RADIUS,
    find_duplicates,
    image_twins,
    merge_duplicates,
    perceptual_code,
    straddling_twins,
)
from mcmfh.archive.manifest import check_manifest, read_manifest
from mcmfh.cli import app
from mcmfh.phantom.files import hand_over
from mcmfh.phantom.studies import sample_studies


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Twelve phantom pictures; rows 12 to 15 are copies of rows 0 to 3, as copies are; two reports are equal."""
    folder = tmp_path_factory.mktemp("twins")
    pictures = [Image.fromarray(hand_over(study).shown) for study in sample_studies(12, 5)]
    recompressed = io.BytesIO()
    pictures[0].save(recompressed, "JPEG", quality=40)
    pictures += [
        Image.open(recompressed).convert("L"),
        pictures[1].resize((150, 150), Image.Resampling.BICUBIC),
        ImageEnhance.Brightness(pictures[2]).enhance(1.1),
        pictures[3].copy(),
    ]
    rows = ["item_id,image_uri,report,split,group"]
    for number, picture in enumerate(pictures):
        picture.save(folder / f"{number}.png")
        report = "No  acute FINDING." if number == 5 else "no acute finding." if number == 9 else f"report {number}"
        split = "train" if number % 2 else "test"
        rows.append(f"i{number},{number}.png,{report},{'test' if number == 13 else split},g{number}")
    (folder / "manifest.csv").write_text("\n".join(rows))
    return folder / "manifest.csv"


def test_twins_are_found_reported_and_merged(archive):
    table = read_manifest(str(archive))
    found = find_duplicates(table)
    assert [(one.first, one.second, one.kind) for one in found] == [
        (0, 12, "image"),
        (1, 13, "image"),
        (2, 14, "image"),
        (3, 15, "image"),
        (5, 9, "report"),
    ]
    faults = straddling_twins(table, found)  # 1 | 13 alone stands on two sides
    assert [(fault.row, fault.fatal) for fault in faults] == [(13, False)]
    merged = merge_duplicates(table, found)
    assert [merged["group"][row].as_py() for row in (12, 13, 9, 4)] == ["g0", "g1", "g5", "g4"]
    assert [merged["split"][row].as_py() for row in (1, 13, 12)] == ["train", "train", "test"]
    assert straddling_twins(merged, found) == check_manifest(merged) == []


def test_pairs_are_those_of_a_brute_force():
    rng = np.random.default_rng(0)
    base = rng.integers(0, 256, (40, 16), np.uint8)
    codes = np.concatenate([base, base, base])
    codes[40:, 0] ^= rng.integers(0, 256, 80).astype(np.uint8)
    codes[80:, 1:4] ^= rng.integers(0, 256, (40, 3)).astype(np.uint8)
    thumbnails = rng.standard_normal((120, 256)).astype(np.float32) * 0.08 + np.tile(np.eye(40, 256), (3, 1))
    thumbnails = (thumbnails / np.linalg.norm(thumbnails, axis=1, keepdims=True)).astype(np.float32)
    thumbnails[40:60] = thumbnails[:20]
    expected = [
        (i, j)
        for i in range(120)
        for j in range(i + 1, 120)
        if np.unpackbits(codes[i] ^ codes[j]).sum() <= RADIUS and thumbnails[i] @ thumbnails[j] >= CORRELATION
    ]
    assert len(expected) > 10
    assert image_twins(codes, thumbnails) == expected


def test_a_blank_picture_has_a_code():
    thumbnail, code = perceptual_code(np.full((40, 50), 7, np.uint8))
    assert not thumbnail.any()
    assert not code.any()


def test_the_command_reports_and_writes(archive, tmp_path):
    run = CliRunner().invoke(app, ["check", str(archive), "--duplicates", "--merge", str(tmp_path / "merged.parquet")])
    assert run.exit_code == 1
    assert "row 13: image is that of row 1, in another split (warning) [i13]" in run.stdout
    assert "4 pairs of nearly equal images, 1 equal reports" in run.stdout
    merged = str(tmp_path / "merged.parquet")
    run = CliRunner().invoke(app, ["check", merged, "--duplicates"])
    assert run.exit_code == 1
    assert f"archive.roots=[file://{tmp_path}, file://{archive.parent}]" in run.stdout
    run = CliRunner().invoke(app, ["check", merged, "--duplicates", "--root", str(archive.parent)])
    assert run.exit_code == 0, run.stdout


def crowd(items, seed=0, blank=0):
    """Codes and thumbnails of pictures that all have one code; each third one is a near copy of the first."""
    random = np.random.default_rng(seed)
    thumbnails = random.standard_normal((items, 256))
    thumbnails[::3] = thumbnails[0] + 0.01 * random.standard_normal((len(thumbnails[::3]), 256))
    thumbnails -= thumbnails.mean(1, keepdims=True)
    thumbnails /= np.linalg.norm(thumbnails, axis=1, keepdims=True)
    thumbnails[items - blank :] = 0
    return np.zeros((items, 16), np.uint8), thumbnails.astype(np.float32)


def brute_force(codes, thumbnails):
    near = np.bitwise_count(codes[:, None] ^ codes).sum(2) <= RADIUS
    alike = thumbnails @ thumbnails.T >= CORRELATION
    return {(i, j) for i, j in zip(*np.nonzero(near & alike)) if i < j}


@pytest.mark.parametrize(("items", "blank"), [(40, 0), (90, 0), (90, 30), (17, 0), (1, 0), (3, 3)])
def test_every_twin_is_found_however_many_pictures_share_a_code(items, blank):
    codes, thumbnails = crowd(items, blank=blank)
    assert set(image_twins(codes, thumbnails)) == brute_force(codes, thumbnails)


def test_equal_pictures_are_connected_and_found_by_what_resembles_them():
    codes, thumbnails = crowd(60)
    thumbnails[3:33:3] = thumbnails[0]
    codes[30:, 0] = 0b111
    pairs = image_twins(codes, thumbnails)
    assert set(pairs) <= brute_force(codes, thumbnails)
    group = np.arange(60)
    for _ in range(60):
        for low, high in pairs:
            group[[low, high]] = min(group[low], group[high])
    assert group[::3].tolist() == [0] * 20
    assert len(np.unique(group)) == 41
