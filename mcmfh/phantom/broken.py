"""Damages some inputs on purpose; each kind of damage names the reason that a job must give for it."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mcmfh.phantom.files import Handover, as_dicom, encode
from mcmfh.phantom.studies import Study


@dataclass(frozen=True)
class Breakage:
    """A kind of damage: how it changes the files of a study, and the quarantine reason that a job must give."""

    kind: str
    reason: str
    apply: Callable[[Handover, Study], Handover]


def plan_damage(count: int, fraction: float, seed: int) -> dict[int, Breakage]:
    """Row → damage, for `fraction` of `count` rows, the kinds in turn. Row 0 is never damaged."""
    rng = np.random.default_rng([seed, 5])
    rows = rng.choice(np.arange(1, count), min(max(len(KINDS), round(fraction * count)), count - 1), replace=False)
    return {int(row): KINDS[turn % len(KINDS)] for turn, row in enumerate(np.sort(rows))}


def _picture(handover: Handover, data: bytes | None, ending: str) -> Handover:
    return replace(handover, image=data, image_name=f"{handover.stem}.{ending}")


def _truncated_png(handover: Handover, study: Study) -> Handover:
    return _picture(handover, encode(handover.shown, "PNG")[:-2000], "png")


def _truncated_jpeg(handover: Handover, study: Study) -> Handover:
    return _picture(handover, encode(handover.shown, "JPEG")[:-2000], "jpg")


def _wrong_type(handover: Handover, study: Study) -> Handover:
    return _picture(handover, b"%PDF-1.4\n1 0 obj <</Type /Catalog>> endobj\ntrailer <</Root 1 0 R>>\n%%EOF\n", "png")


def _bomb(handover: Handover, study: Study) -> Handover:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes(4096))) + chunk(b"IEND", b"")
    return _picture(handover, b"\x89PNG\r\n\x1a\n" + header + body, "png")


def _corrupt_dicom(handover: Handover, study: Study) -> Handover:
    return _picture(handover, as_dicom(study, handover.shown, None)[: -handover.shown.size // 2], "dcm")


def _empty_report(handover: Handover, study: Study) -> Handover:
    return replace(handover, report=" \n", report_name=f"{handover.stem}.txt")


def _missing_file(handover: Handover, study: Study) -> Handover:
    return replace(handover, image=None)


def _duplicate_id(handover: Handover, study: Study) -> Handover:
    return replace(handover, item_id="S000000")


KINDS = (
    Breakage("truncated_png", "image is truncated", _truncated_png),
    Breakage("wrong_type", "not an image of a supported type", _wrong_type),
    Breakage("empty_report", "empty report", _empty_report),
    Breakage("bomb", "image has more pixels than the limit", _bomb),
    Breakage("duplicate_id", "item_id was used by an earlier row", _duplicate_id),
    Breakage("missing_file", "image file not found", _missing_file),
    Breakage("corrupt_dicom", "DICOM pixel data is shorter than its header states", _corrupt_dicom),
    Breakage("truncated_jpeg", "image is truncated", _truncated_jpeg),
)
