"""The identity of an encoder, without the encoder: cheap to make, to send and to compare. Imports no torch."""

from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from mcmfh.archive.images import DECODE_POLICY
from mcmfh.encoders.preprocessing import ImagePreprocessing
from mcmfh.store.files import digest

# Pictures a pass in bulk, by device. Not a setting: it changes an embedding's last bits, so one archive has one.
_BATCH = {"cpu": 16, "cuda": 128}
# Enters the digest: raise it when the same picture would be resampled, or the same texts batched, in another way.
_ARITHMETIC = 3
# Everything that decodes or computes between a file's bytes and an embedding.
_LIBRARIES = [
    "torch",
    "timm",
    "transformers",
    "tokenizers",
    "open_clip_torch",
    "numpy",
    "pillow",
    "simplejpeg",
    "numba",
    "pydicom",
    "pylibjpeg",
    "pylibjpeg-libjpeg",
    "pylibjpeg-openjpeg",
]


def library_versions() -> dict[str, str | None]:
    """Version of every library that can change an embedding; None where one is not installed."""
    found: dict[str, str | None] = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


@dataclass(frozen=True)
class EncoderSpec:
    """All that determines an embedding but the item itself. `digest` names the embeddings' folder."""

    name: str
    weights: str  # sha256 of the weight and vocabulary files
    architecture: str
    preprocessing: ImagePreprocessing
    image_width: int
    report_width: int
    device: str
    dtype: str = "float32"
    source: str | None = None  # where the weights were found; what they are is said above

    @property
    def batch_size(self) -> int:
        """Rows of the fixed batches in which an archive is embedded."""
        return _BATCH[self.device]

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The JSON object that the digest is taken of."""
        what = {name: value for name, value in asdict(self).items() if name != "source"}
        arithmetic = {"version": _ARITHMETIC, "batch_size": self.batch_size, "decode_policy": DECODE_POLICY}
        return {**what, **arithmetic, "libraries": library_versions()}

    @cached_property
    def digest(self) -> str:
        """sha256 of `identity`: the encoder_digest."""
        return digest(self.identity)
