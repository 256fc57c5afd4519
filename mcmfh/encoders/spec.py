"""The identity of an encoder without its networks: cheap to make, to send and to compare. Does not import torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from mcmfh.archive.images import DECODE_POLICY
from mcmfh.archive.reports import REPORT_POLICY
from mcmfh.encoders.preprocessing import BICUBIC, ImagePreprocessing
from mcmfh.store.files import canonical_json, digest

# Rows of a batch in bulk jobs, by device. It is no setting, because it changes the last bits of an embedding.
_BATCH = {"cpu": 16, "cuda": 128}
# Part of the digest. Raise it with every change of how pictures are resampled or texts are batched.
_ARITHMETIC = 3
# Every library that computes between pixels or text and an embedding.
_ENCODING = ["torch", "timm", "transformers", "tokenizers", "open_clip_torch", "numpy"]
# Every library that decodes between a file's bytes and its pixels or text.
_READING = [
    "pillow",
    "simplejpeg",
    "tifffile",
    "imagecodecs",
    "numba",
    "pydicom",
    "pylibjpeg",
    "pylibjpeg-libjpeg",
    "pylibjpeg-openjpeg",
    "hl7",
    "lxml",
    "pypdf",
    "striprtf",
]


def library_versions() -> dict[str, str | None]:
    """Version of every library that can change an embedding; None where it is not installed."""
    versions: dict[str, str | None] = {}
    for name in [*_ENCODING, *_READING]:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return versions


def same_encoder(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two identities are of one encoder: equal but for the policies of reading and for library versions."""
    read = ("decode_policy", "report_policy", "libraries")
    first, second = ({name: value for name, value in each.items() if name not in read} for each in (one, other))
    return canonical_json(first) == canonical_json(second)  # one may have gone through JSON, where tuples are lists


def same_arithmetic(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether the libraries that compute embeddings have the same versions in two identities."""
    first, second = (each.get("libraries", {}) for each in (one, other))
    return all(first.get(name) == second.get(name) for name in _ENCODING)


@dataclass(frozen=True)
class EncoderSpec:
    """Everything but the item that determines an embedding. `digest` names the folder of the embeddings."""

    name: str
    weights: str  # sha256 of the weight and vocabulary files
    architecture: str
    preprocessing: ImagePreprocessing
    image_width: int
    report_width: int
    device: str
    dtype: str = "float32"
    source: str | None = None  # address of the weights; not part of the digest

    @property
    def batch_size(self) -> int:
        """Rows of the fixed batches in which an archive is embedded."""
        return _BATCH[self.device]

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The JSON object whose digest is the encoder's."""
        fields = {name: value for name, value in asdict(self).items() if name != "source"}
        if fields["preprocessing"]["kernel"] == BICUBIC:  # what every encoder had before others were supported
            del fields["preprocessing"]["kernel"]
        policies = {"decode_policy": DECODE_POLICY, "report_policy": REPORT_POLICY}
        arithmetic = {"version": _ARITHMETIC, "batch_size": self.batch_size}
        return {**fields, **arithmetic, **policies, "libraries": library_versions()}

    @cached_property
    def digest(self) -> str:
        """sha256 of `identity`: the encoder_digest."""
        return digest(self.identity)
