"""Canary: fixed inputs and the codes they had when the bundle was made, so that a changed machine is noticed.

Two levels. Embedding vectors through the model, checked at every load: they are drawn with wide margins, so only a
broken model or library fails. Drawn pictures and plain sentences through encoder and model, checked where library
versions differ from those of training: identical codes, or the encoder is refused. Nothing comes from an archive.
"""

import base64
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from mcmfh.hashing.codes import pack_codes

MARGIN = 1e-3
REPORTS = (
    "The heart size is normal. The lungs are clear. No pleural effusion or pneumothorax.",
    "Large mass in the left temporal lobe with surrounding edema and midline shift.",
    "Fracture of the distal radius with dorsal angulation.",
    "CT of the abdomen: cystic lesion of the right kidney, no hydronephrosis.",
)

AllLogits = dict[str, dict[int, np.ndarray]]  # modality → K → float32[B, K]
HashImages = Callable[[Sequence[Image.Image], int], np.ndarray]  # pictures, K → uint8[B, K/8]
HashReports = Callable[[Sequence[str], int], np.ndarray]  # texts, K → uint8[B, K/8]
LogitsOf = Callable[[np.ndarray | None, np.ndarray | None], AllLogits]


def pictures(side: int = 96) -> list[Image.Image]:
    """Four drawn grey pictures: ramp, rings, stripes, disc."""
    y, x = np.mgrid[:side, :side] - side // 2
    radius = x * x + y * y
    drawn = ((x + y) % 256, radius // 8 % 256, 255 * (x // 6 % 2), np.where(radius < side * side // 9, 200, 40))
    return [Image.fromarray(picture.astype(np.uint8)) for picture in drawn]


def _png(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def embedding_canary(
    logits: LogitsOf, image: np.ndarray, report: np.ndarray, seed: int, rows: int = 4
) -> dict[str, Any]:
    """`rows` normal vectors a modality with the mean and sd of `image` and `report`, and their codes."""
    rng = np.random.default_rng(seed)
    canary: dict[str, Any] = {"inputs": {}, "codes": {}}
    for modality, x in (("image", image), ("report", report)):
        drawn = (x.mean(0) + x.std(0) * rng.standard_normal((16 * rows, x.shape[1]))).astype(np.float32)
        by_k = logits(*((drawn, None) if modality == "image" else (None, drawn)))[modality]
        margin = np.min([np.abs(y).min(1) for y in by_k.values()], axis=0)
        best = np.sort(np.argsort(-margin)[:rows])
        canary["inputs"][modality] = base64.b64encode(drawn[best].tobytes()).decode()
        canary["codes"][modality] = {str(k): _hexes(pack_codes(y[best])) for k, y in by_k.items()}
    return canary


def encoder_canary(hash_images: HashImages, hash_reports: HashReports, bits: tuple[int, ...]) -> dict[str, Any]:
    """Pictures and sentences with their codes by the whole path."""
    images = pictures()
    return {
        "images": [_png(image) for image in images],
        "reports": list(REPORTS),
        "codes": {
            "image": {str(k): _hexes(hash_images(images, k)) for k in bits},
            "report": {str(k): _hexes(hash_reports(list(REPORTS), k)) for k in bits},
        },
    }


def embedding_canary_holds(canary: dict[str, Any], logits: LogitsOf) -> bool:
    """Whether the model still gives the stored codes."""
    inputs = {name: np.frombuffer(base64.b64decode(text), np.float32) for name, text in canary["inputs"].items()}
    for name, flat in inputs.items():
        rows = len(next(iter(canary["codes"][name].values())))
        x = flat.reshape(rows, -1)
        by_k = logits(*((x, None) if name == "image" else (None, x)))[name]
        try:
            codes = {str(k): _hexes(pack_codes(y)) for k, y in by_k.items()}
        except ValueError:  # a logit is NaN, and NaN has no code
            return False
        if codes != canary["codes"][name]:
            return False
    return True


def encoder_canary_holds(canary: dict[str, Any], hash_images: HashImages, hash_reports: HashReports) -> bool:
    """Whether encoder and model together still give the stored codes."""
    images = [Image.open(io.BytesIO(base64.b64decode(text))) for text in canary["images"]]
    codes = canary["codes"]
    return all(_hexes(hash_images(images, int(k))) == rows for k, rows in codes["image"].items()) and all(
        _hexes(hash_reports(canary["reports"], int(k))) == rows for k, rows in codes["report"].items()
    )


def _hexes(codes: np.ndarray) -> list[str]:
    return [row.tobytes().hex() for row in codes]
