"""What hashes: a model with its shape and device. A bundle is one with its encoder, its measures and its canary."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from mcmfh.encoders.base import Encoder
from mcmfh.errors import InputError
from mcmfh.hashing.canary import AllLogits
from mcmfh.hashing.codes import pack_codes
from mcmfh.hashing.itq import LinearHash
from mcmfh.hashing.kernel_hash import KernelHash
from mcmfh.hashing.model import Mcmfh
from mcmfh.hashing.settings import OF_CLOSED_FORM, ModelSettings

Model = Mcmfh | LinearHash | KernelHash


@dataclass(frozen=True)
class Shape:
    """What a model is built from; the part of config.json that can change a code."""

    settings: ModelSettings
    image_width: int
    report_width: int
    bits: tuple[int, ...]
    seed: int

    def build(self) -> Model:
        """The model with its first weights."""
        if self.settings.method == "itq":
            return LinearHash(self.image_width, self.report_width, self.bits)
        if self.settings.method == "closed_form":
            return KernelHash(self.settings, self.image_width, self.report_width, self.bits, self.seed)
        return Mcmfh(self.settings, self.image_width, self.report_width, self.bits, self.seed)

    def to_json(self) -> dict[str, Any]:
        fields = set(ModelSettings.model_fields)
        if self.settings.method != "closed_form":
            fields -= OF_CLOSED_FORM
        if self.settings.activation == "gelu":  # older models have no other and do not name it
            fields -= {"activation"}
        return {
            "settings": self.settings.model_dump(mode="json", include=fields),
            "image_width": self.image_width,
            "report_width": self.report_width,
            "bits": list(self.bits),
            "seed": self.seed,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Shape":
        return cls(**{**value, "settings": ModelSettings(**value["settings"]), "bits": tuple(value["bits"])})


@dataclass(frozen=True)
class Coder:
    """Embeddings in, codes out; or images and reports in, through an encoder that is given."""

    model: Model
    shape: Shape
    device: str = "cpu"

    @property
    def bits(self) -> tuple[int, ...]:
        """Code lengths K that the model gives; the first is the default."""
        return self.shape.bits

    def logits(
        self, image: np.ndarray | None = None, report: np.ndarray | None = None, bits: int | None = None
    ) -> dict[str, np.ndarray]:
        """Codes before their sign: {"image" | "report": float32[B, K]} of float32[B, D_I], float32[B, D_T]."""
        k = self._check_bits(bits)
        return {name: by_k[k] for name, by_k in self.all_logits(image, report).items()}

    @torch.inference_mode()
    def all_logits(self, image: np.ndarray | None = None, report: np.ndarray | None = None) -> AllLogits:
        """`logits` of every K at the cost of one pass."""
        self.model.eval()
        given = {"image": (image, self.shape.image_width), "report": (report, self.shape.report_width)}
        tensors = {}
        for name, (x, width) in given.items():
            if x is not None:
                if x.ndim != 2 or x.shape[1] != width:
                    raise InputError(f"{name} embeddings have shape {list(x.shape)}; this model takes [B, {width}]")
                tensors[name] = torch.tensor(x, dtype=torch.float32).to(self.device)
        logits = self.model.logits(**tensors)
        return {name: {k: y.float().cpu().numpy() for k, y in by_k.items()} for name, by_k in logits.items()}

    def hash_embeddings(
        self, image: np.ndarray | None = None, report: np.ndarray | None = None, bits: int | None = None
    ) -> dict[str, np.ndarray]:
        """{"image" | "report": uint8[B, K/8]}. Raises ValueError where a logit is NaN, InputError on a wrong width."""
        return {name: pack_codes(logits) for name, logits in self.logits(image, report, bits).items()}

    def encode_and_hash_images(
        self, encoder: Encoder, images: Sequence[Image.Image], bits: int | None = None
    ) -> np.ndarray:
        """uint8[B, K/8] of pictures."""
        pixels = np.stack([encoder.spec.preprocessing(image) for image in images])
        return self.hash_embeddings(image=encoder.encode_images(pixels), bits=bits)["image"]

    def encode_and_hash_reports(self, encoder: Encoder, texts: Sequence[str], bits: int | None = None) -> np.ndarray:
        """uint8[B, K/8] of texts."""
        return self.hash_embeddings(report=encoder.encode_reports(list(texts)), bits=bits)["report"]

    def _check_bits(self, bits: int | None) -> int:
        if bits is not None and bits not in self.bits:
            lengths = ", ".join(map(str, self.bits))
            raise InputError(f"this bundle has codes of {lengths} bits, not of {bits}; train it with that K")
        return bits or self.bits[0]
