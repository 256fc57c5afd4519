"""The model bundle: everything that hashes, in one immutable folder, verified whenever it is loaded.

    model.safetensors   weights, standardisation, voting masks
    config.json         shape, encoder and its digest, K, seed, settings; digests of the other files
    canary.json         inputs and their codes (see canary.py)
    calibration.json    what a distance means (see calibration.py)
    metrics.json        measured on validation
    MODEL_CARD.md       the same for people

code_digest = sha256 of encoder digest, weights' digest and shape: the run digest of hashing. bundle_digest = sha256
of all (file name, file digest) pairs. No file holds a time, so equal training makes an equal bundle.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import safetensors.torch
import torch
from PIL import Image

from mcmfh.encoders import EncoderSpec, encoder_spec, load_encoder
from mcmfh.encoders.base import Encoder
from mcmfh.errors import InputError
from mcmfh.hashing.canary import AllLogits, embedding_canary_holds, encoder_canary_holds
from mcmfh.hashing.card import model_card
from mcmfh.hashing.codes import pack_codes
from mcmfh.hashing.itq import LinearHash
from mcmfh.hashing.model import Mcmfh
from mcmfh.hashing.settings import ModelSettings
from mcmfh.store import files
from mcmfh.store.sealed import Kind

FILES = ("model.safetensors", "canary.json", "calibration.json", "metrics.json", "MODEL_CARD.md")
KIND = Kind("mcmfh-bundle-1", FILES, "bundle", "train again")

Model = Mcmfh | LinearHash


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
        return Mcmfh(self.settings, self.image_width, self.report_width, self.bits, self.seed)

    def to_json(self) -> dict[str, Any]:
        return {
            "settings": self.settings.model_dump(mode="json", include=set(ModelSettings.model_fields)),
            "image_width": self.image_width,
            "report_width": self.report_width,
            "bits": list(self.bits),
            "seed": self.seed,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Shape":
        return cls(**{**value, "settings": ModelSettings(**value["settings"]), "bits": tuple(value["bits"])})


@dataclass
class Bundle:
    """A trained model: embeddings, images or reports in, codes out."""

    model: Model
    shape: Shape
    encoder: str
    encoder_identity: dict[str, Any]
    encoder_source: str | None = None  # where its files are, for encoders that have them
    device: str = "cpu"
    config: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    canary: dict[str, Any] = field(default_factory=dict)
    code_digest: str = ""
    bundle_digest: str = ""
    _loaded_encoder: Encoder | None = None

    @property
    def bits(self) -> tuple[int, ...]:
        """Code lengths K that the model gives; the first is the default."""
        return self.shape.bits

    def logits(
        self, image: np.ndarray | None = None, report: np.ndarray | None = None, bits: int | None = None
    ) -> dict[str, np.ndarray]:
        """Codes before their sign: {"image" | "report": float32[B, K]} of float32[B, D_I], float32[B, D_T]."""
        k = self._check_bits(bits)
        return {name: found[k] for name, found in self.all_logits(image, report).items()}

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
        found = self.model.logits(**tensors)
        return {name: {k: y.float().cpu().numpy() for k, y in by_k.items()} for name, by_k in found.items()}

    def hash_embeddings(
        self, image: np.ndarray | None = None, report: np.ndarray | None = None, bits: int | None = None
    ) -> dict[str, np.ndarray]:
        """{"image" | "report": uint8[B, K/8]}. Raises ValueError where a logit is NaN, InputError on a wrong width."""
        return {name: pack_codes(found) for name, found in self.logits(image, report, bits).items()}

    def hash_images(self, images: Sequence[Image.Image], bits: int | None = None) -> np.ndarray:
        """uint8[B, K/8] of pictures, by the bundle's encoder (loaded on first use)."""
        encoder = self.checked_encoder()
        return self._hash_images(encoder, images, bits)

    def hash_reports(self, texts: Sequence[str], bits: int | None = None) -> np.ndarray:
        """uint8[B, K/8] of texts, by the bundle's encoder (loaded on first use)."""
        encoder = self.checked_encoder()
        return self._hash_reports(encoder, texts, bits)

    def checked_encoder(self) -> Encoder:
        """The bundle's encoder on its device. Raises InputError when it is not the one that the model was trained
        on, or differs in library versions and then gives the canary other codes."""
        if self._loaded_encoder is None:
            self.check_identity(encoder_spec(self.encoder, self.device, self.encoder_source))
            encoder = load_encoder(self.encoder, self.device, self.encoder_source)
            if encoder.spec.digest != self.config.get("encoder_digest"):
                self._check_encoder_canary(encoder)
            self._loaded_encoder = encoder
        return self._loaded_encoder

    def check_identity(self, spec: EncoderSpec) -> None:
        """Raise InputError when `spec` differs from the trained-on encoder in more than library versions."""
        theirs, ours = dict(spec.identity), dict(self.encoder_identity)
        for identity in (theirs, ours):
            identity.pop("libraries", None)
        # Through JSON, as the bundle's own went: a tuple there is a list here.
        if files.canonical_json(theirs) != files.canonical_json(ours):
            changed = sorted(key for key in theirs.keys() | ours.keys() if theirs.get(key) != ours.get(key))
            raise InputError(
                f"encoder '{self.encoder}' here differs from the one this bundle was trained on in "
                f"{', '.join(changed)}; use that encoder or train again"
            )

    def _check_encoder_canary(self, encoder: Encoder) -> None:
        stored = self.canary.get("encoder")

        def images(inputs: Sequence[Image.Image], k: int) -> np.ndarray:
            return self._hash_images(encoder, inputs, k)

        def reports(inputs: Sequence[str], k: int) -> np.ndarray:
            return self._hash_reports(encoder, inputs, k)

        if stored is None or not encoder_canary_holds(stored, images, reports):
            theirs, ours = encoder.spec.identity.get("libraries", {}), self.encoder_identity.get("libraries", {})
            names = [name for name in sorted(theirs) if theirs[name] != ours.get(name)]
            changed = ", ".join(f"{name} {ours.get(name)} → {theirs[name]}" for name in names)
            raise InputError(
                f"encoder '{self.encoder}' gives the bundle's canary other codes ({changed}); "
                "install the versions of training or train again"
            )

    def _hash_images(self, encoder: Encoder, images: Sequence[Image.Image], bits: int | None) -> np.ndarray:
        pixels = np.stack([encoder.spec.preprocessing(image) for image in images])
        return self.hash_embeddings(image=encoder.encode_images(pixels), bits=bits)["image"]

    def _hash_reports(self, encoder: Encoder, texts: Sequence[str], bits: int | None) -> np.ndarray:
        return self.hash_embeddings(report=encoder.encode_reports(list(texts)), bits=bits)["report"]

    def _check_bits(self, bits: int | None) -> int:
        if bits is not None and bits not in self.bits:
            known = ", ".join(map(str, self.bits))
            raise InputError(f"this bundle has codes of {known} bits, not of {bits}; train it with that K")
        return bits or self.bits[0]


def code_digest(encoder_digest: str, weights_digest: str, shape: Shape) -> str:
    """sha256 of all that determines a code."""
    return files.digest({"encoder": encoder_digest, "weights": weights_digest, "shape": shape.to_json()})


def save_bundle(
    root: str,
    model: Model,
    shape: Shape,
    encoder: EncoderSpec,
    *,
    calibration: dict[str, Any],
    metrics: dict[str, Any],
    canary: dict[str, Any],
    training: dict[str, Any],
) -> str:
    """Write `root`/<bundle digest>/ and return its URI. `training` is what config.json tells of how it was made.

    The same bundle written twice is one bundle.
    """
    weights = safetensors.torch.save({name: x.detach().cpu().contiguous() for name, x in model.state_dict().items()})
    config: dict[str, Any] = {
        "shape": shape.to_json(),
        "encoder": encoder.name,
        "encoder_digest": encoder.digest,
        "encoder_identity": encoder.identity,
        "encoder_source": encoder.source,
        "training": training,
        "code_digest": code_digest(encoder.digest, files.digest(weights), shape),
    }
    contents = {
        "model.safetensors": weights,
        "canary.json": files.canonical_json(canary),
        "calibration.json": files.canonical_json(calibration),
        "metrics.json": files.canonical_json(metrics),
        "MODEL_CARD.md": model_card(config, metrics, calibration).encode(),
    }
    return KIND.seal(root, contents, config)


def load_bundle(uri: str, device: str = "cpu", encoder_source: str | None = None) -> Bundle:
    """The bundle at `uri`, with every digest verified. Raises InputError when a file is missing or was changed.

    `encoder_source`: where the encoder's files are on this machine, if not where they were in training.
    """
    folder = KIND.open(uri)
    uri, config, contents = folder.uri, folder.config, folder.contents
    shape = Shape.from_json(config["shape"])
    if code_digest(config["encoder_digest"], config["files"]["model.safetensors"], shape) != config["code_digest"]:
        raise InputError(f"the code digest of bundle '{uri}' does not follow from its contents; train again")
    model = shape.build()
    model.load_state_dict(safetensors.torch.load(contents["model.safetensors"]))
    bundle = Bundle(
        model.to(device).eval(),
        shape,
        encoder=config["encoder"],
        encoder_identity=config["encoder_identity"],
        encoder_source=encoder_source or config["encoder_source"],
        device=device,
        config=config,
        calibration=json.loads(contents["calibration.json"]),
        metrics=json.loads(contents["metrics.json"]),
        canary=json.loads(contents["canary.json"]),
        code_digest=config["code_digest"],
        bundle_digest=folder.digest,
    )
    if not embedding_canary_holds(bundle.canary, bundle.all_logits):
        raise InputError(f"bundle '{uri}' gives its canary other codes on {device}; check the torch installation")
    return bundle

