"""`mcmfh manifest` on a large folder in MIMIC-CXR's layout, and on one of DICOM files: seconds and peak memory.

Half of the layout's files are JPEGs and half are reports, one for each image. Contents repeat, because no picture is
decoded and pairing goes by names, which are those of the real archive.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from mcmfh.archive.manifest import read_manifest
from mcmfh.phantom.files import as_dicom, encode, hand_over
from mcmfh.phantom.studies import sample_studies

_POOL = 200  # different pictures and reports
_STUDIES_A_PATIENT = 3


@dataclass(frozen=True)
class Measured:
    """What one run of `mcmfh manifest` took. peak: resident bytes. images, paired: rows."""

    files: int
    seconds: float
    cpu_seconds: float
    peak: int
    images: int
    paired: int

    def __str__(self) -> str:
        return (
            f"{self.files:,} files: {self.seconds:.1f} s ({self.cpu_seconds:.1f} s of CPU), "
            f"{self.peak / 2**20:,.0f} MiB at the peak, {self.paired:,} of {self.images:,} images paired"
        )


def measure_manifest(folder: Path, files: int, dicom: int) -> Iterator[str]:
    """Lines for a terminal. Writes `files` files in MIMIC's layout and `dicom` DICOM files below `folder`, once."""
    for name, write, count in (("mimic", write_mimic, files), ("dicom", write_dicom, dicom)):
        source = folder / f"{name}-{count}"
        if not (source / "written").exists():
            shutil.rmtree(source, ignore_errors=True)
            write(source / "files", count)
            (source / "written").touch()
        yield f"{name}: {run_manifest(source / 'files', source / 'manifest.parquet', count)}"


def write_mimic(folder: Path, files: int) -> None:
    """`files` / 2 studies: `p10/p10000032/s50414267/<image>.jpg` and `p10/p10000032/s50414267.txt`."""
    rng = np.random.default_rng(0)
    drawn = [hand_over(study) for study in sample_studies(_POOL, 0)]
    pictures = [encode(each.shown, "JPEG") for each in drawn]
    for number in range(files // 2):
        patient = f"p{10_000_000 + 997 * (number // _STUDIES_A_PATIENT) % 10_000_000}"
        study = folder / patient[:3] / patient / f"s{50_000_000 + number}"
        study.mkdir(parents=True)
        name = "-".join(rng.bytes(4).hex() for _ in range(5))
        (study / f"{name}.jpg").write_bytes(pictures[number % _POOL])
        study.with_suffix(".txt").write_text(drawn[number % _POOL].report)


def write_dicom(folder: Path, files: int) -> None:
    """`files` slices in series of 50, one study each, and a report for each study named after its accession number."""
    studies = list(sample_studies(max(files // 50, 1), 1))
    for study in studies:
        series = folder / study.patient.name / f"S{study.number:06d}"
        series.mkdir(parents=True)
        drawn = hand_over(study)
        data = as_dicom(study, drawn.shown.astype(np.uint16), None)
        for number in range(50):
            (series / f"IM{number:04d}").write_bytes(data)
        (series / f"S{study.number:06d}.txt").write_text(drawn.report)


def run_manifest(source: Path, output: Path, files: int) -> Measured:
    """One run of the command in a process of its own."""
    command = [sys.executable, "-m", "mcmfh.cli", "manifest", str(source), str(output)]
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"mcmfh manifest ended with {process.returncode}")
    table = read_manifest(str(output))
    image = pc.is_valid(table["image_uri"])
    paired = pc.and_(image, pc.is_valid(table["report_uri"]))
    cpu = usage.ru_utime + usage.ru_stime
    return Measured(files, seconds, cpu, usage.ru_maxrss * 1024, pc.sum(image).as_py(), pc.sum(paired).as_py())
