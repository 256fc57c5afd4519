"""Decodes every file of some folders and compares each picture with an independent decoder's.

DICOM is compared with DCMTK (Debian's `dcmtk`) and with SimpleITK where DCMTK cannot decode it; PNG, JPEG and TIFF with
SimpleITK (PyPI). A difference is explained by the standard, or stands in the last table. Run from the checkout:

PYTHONPATH=.:tests python -m support.real_files FOLDER …
"""

import argparse
import hashlib
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from support.second_opinion import explained, second_opinion

from mcmfh.archive.images import DecodeError, Limits, decode_picture, looks_like_dicom

CLOSE = 3  # grey levels of 255: lossy JPEG and conversions of colour round differently
_MAGIC = {
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
}
_OTHERS = {b"\0\0\0\x0cjP": "JPEG 2000", b"\xffO\xffQ": "JPEG 2000", b"GIF8": "GIF", b"BM": "BMP"}


@dataclass(frozen=True)
class Outcome:
    """What became of a file. `reason`: why it is quarantined; `other`: what an independent decoder makes of it."""

    path: Path
    kind: str
    reason: str = ""
    other: str = ""
    difference: float = 0.0  # share of the pixels that differ by more than CLOSE
    why: str = ""


def kind_of(data: bytes) -> str:
    """The format of a file by its first bytes; "" for what is no picture."""
    if looks_like_dicom(data):
        return "DICOM"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    return next((kind for magic, kind in (_MAGIC | _OTHERS).items() if data.startswith(magic)), "")


def outcome(path: Path, scratch: Path) -> Outcome:
    """Decodes one file both ways."""
    data = path.read_bytes()
    kind = kind_of(data)
    try:
        picture = decode_picture(data, Limits())
    except DecodeError as error:
        opinion = second_opinion(path, kind, scratch, None)
        return Outcome(path, kind, str(error), "decoded" if opinion is not None else "not decoded")
    opinion = second_opinion(path, kind, scratch, picture)
    if opinion is None:
        return Outcome(path, kind, other="not compared")
    ours = picture.pixels.astype(int)
    if opinion.pixels.shape != ours.shape:
        return Outcome(path, kind, "", opinion.name, 1.0, explained(path, kind, picture, opinion))
    distance = abs(ours - opinion.pixels)
    share = float((distance > CLOSE).mean())
    why = explained(path, kind, picture, opinion) if share else ""
    return Outcome(path, kind, "", opinion.name, share, why)


def report(outcomes: list[Outcome]) -> Iterator[str]:
    """Lines: counts by format, reasons of quarantine, differences by explanation, and what is left unexplained."""
    decoded = [one for one in outcomes if not one.reason]
    yield f"{len(outcomes):,} different files: {len(decoded):,} decoded, {len(outcomes) - len(decoded):,} quarantined"
    for kind in sorted({one.kind for one in outcomes}):
        of_kind = [one for one in outcomes if one.kind == kind]
        fine = [one for one in of_kind if not one.reason]
        compared = [one for one in fine if one.other != "not compared"]
        equal = sum(not one.difference for one in compared)
        yield (
            f"  {kind or 'no picture'}: {len(of_kind)} files, {len(fine)} decoded, {len(compared)} compared, "
            f"{equal} of them equal"
        )
    yield "quarantined, by reason (and how many of them the other decoder decodes):"
    reasons = Counter((one.kind, one.reason) for one in outcomes if one.reason)
    for (kind, reason), count in reasons.most_common():
        others = [one for one in outcomes if (one.kind, one.reason) == (kind, reason) and one.other == "decoded"]
        yield f"  {count} × {kind or 'no picture'}: {reason}" + (f" ({len(others)})" if others else "")
        yield from (f"      {one.path}" for one in others)
    differing = [one for one in decoded if one.difference]
    yield "decoded otherwise, by explanation:"
    for why, count in Counter(one.why for one in differing if one.why).most_common():
        yield f"  {count} × {why}"
    unexplained = [one for one in differing if not one.why]
    yield f"decoded otherwise without an explanation: {len(unexplained)}"
    for one in sorted(unexplained, key=lambda each: -each.difference):
        yield f"  {one.difference:7.2%} of the pixels, against {one.other}: {one.path}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    different: dict[str, Path] = {}
    for folder in options.folders:
        for path in [folder] if folder.is_file() else sorted(folder.rglob("*")):
            if path.is_file() and kind_of(head := path.read_bytes()):
                different.setdefault(hashlib.sha256(head).hexdigest(), path)
    with tempfile.TemporaryDirectory() as scratch, ProcessPoolExecutor(options.processes) as pool:
        outcomes = []
        for one in pool.map(partial(outcome, scratch=Path(scratch)), different.values(), chunksize=4):
            outcomes.append(one)
            if len(outcomes) % 100 == 0:
                print(f"{len(outcomes)} of {len(different)}", file=sys.stderr)
    print("\n".join(report(outcomes)))


if __name__ == "__main__":
    main()
