"""DCMTK, the independent decoder of DICOM pictures (Debian's package `dcmtk`)."""

import subprocess
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image

# What dcmj2pnm and dcml2pnm decode: native pixels, JPEG, JPEG-LS and run lengths, but not JPEG 2000.
SYNTAXES = {
    *(f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".2", ".1.99", ".5")),
    *(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70, 80, 81)),
}


def dcmtk(path: Path, header: pydicom.Dataset, target: Path, by_range: bool = False) -> np.ndarray:
    """int[H, W] or int[H, W, 3]: the middle frame by its first VOI LUT or window, or by its least and greatest value.

    by_range: the last of these, whatever the header says. Raises CalledProcessError where DCMTK cannot.
    """
    window = ["+Wm"]
    if header.get("WindowCenter") is not None and not by_range:
        window = ["+Wi", "1"]
    elif header.get("VOILUTSequence") and not by_range:
        window = ["+Wl", "1"]
    frame = str(int(header.get("NumberOfFrames") or 1) // 2 + 1)
    options = window if str(header.get("PhotometricInterpretation", "MONO")).startswith("MONO") else []
    jpeg_ls = header.file_meta.get("TransferSyntaxUID", "")[-2:] in ("80", "81")
    program = "dcml2pnm" if jpeg_ls else "dcmj2pnm"
    command = [program, "+F", frame, *options, "--no-overlays", "+op", str(path), str(target)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return np.asarray(Image.open(target)).astype(int)
