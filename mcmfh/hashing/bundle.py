"""The model bundle: everything that hashes, in one immutable folder, verified whenever it is loaded.

    model.safetensors   weights, standardisation, voting masks
    config.json         shape, encoder and its digest, K, seed, settings, whom the training saw (embeddings/seen.py);
                        digests of the other files
    canary.json         inputs and their codes (see canary.py)
    calibration.json    what a distance means (see calibration.py)
    metrics.json        measured on validation
    MODEL_CARD.md       the same for people

code_digest = sha256 of encoder digest, weights' digest and shape: the run digest of hashing. bundle_digest = sha256
of all (file name, file digest) pairs. No file holds a time, so equal training makes an equal bundle.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import safetensors.torch
from PIL import Image

from mcmfh.embeddings.seen import Seen
from mcmfh.encoders import EncoderSpec, encoder_spec, load_encoder
from mcmfh.encoders.base import Encoder
from mcmfh.encoders.fitted import FITTED
from mcmfh.errors import InputError
from mcmfh.hashing.canary import embedding_canary_holds, encoder_canary_holds
from mcmfh.hashing.card import model_card
from mcmfh.hashing.coder import Coder, Model, Shape
from mcmfh.store import files
from mcmfh.store.layout import encoders_folder
from mcmfh.store.relative import named, sealed_address
from mcmfh.store.sealed import Kind

FILES = ("model.safetensors", "canary.json", "calibration.json", "metrics.json", "MODEL_CARD.md")
KIND = Kind("mcmfh-bundle-1", FILES, "bundle", "train again")


@dataclass(frozen=True, kw_only=True)
class Bundle(Coder):
    """A trained model: embeddings, images or reports in, codes out."""

    encoder: str
    encoder_identity: dict[str, Any]
    encoder_source: str | None  # where its files are, for encoders that have them; absolute
    config: dict[str, Any]
    calibration: dict[str, Any]
    metrics: dict[str, Any]
    canary: dict[str, Any]
    code_digest: str
    bundle_digest: str

    @property
    def seen(self) -> Seen | None:
        """Whom the model was trained and chosen on; None in a bundle that is older than the record."""
        record = self.config["training"].get("seen")
        return Seen.from_json(record) if record else None

    def hash_images(self, images: Sequence[Image.Image], bits: int | None = None) -> np.ndarray:
        """uint8[B, K/8] of pictures, by the bundle's encoder (loaded on first use)."""
        return self.encode_and_hash_images(self.checked_encoder(), images, bits)

    def hash_reports(self, texts: Sequence[str], bits: int | None = None) -> np.ndarray:
        """uint8[B, K/8] of texts, by the bundle's encoder (loaded on first use)."""
        return self.encode_and_hash_reports(self.checked_encoder(), texts, bits)

    def checked_encoder(self) -> Encoder:
        """The bundle's encoder on this bundle's device. Raises InputError when it is not the one that the model was
        trained on, or differs in library versions or the kind of device and then gives the canary other codes."""
        return self._checked_encoder

    @cached_property
    def _checked_encoder(self) -> Encoder:
        which = self.encoder, self.device, self.encoder_source, self.encoder_identity.get("dtype", "float32")
        self.check_identity(encoder_spec(*which))
        encoder = load_encoder(*which)
        if encoder.spec.digest != self.config["encoder_digest"]:
            self._check_encoder_canary(encoder)
        return encoder

    def share_encoder(self, others: Iterable["Bundle"]) -> None:
        """Use the encoder that one of `others` has loaded, where it has the digest of this model's: it saves memory."""
        for other in others:
            loaded: Encoder | None = vars(other).get("_checked_encoder")
            same = (other.encoder_source, other.device) == (self.encoder_source, self.device)
            if loaded is not None and same and loaded.spec.digest == self.config["encoder_digest"]:
                vars(self)["_checked_encoder"] = loaded  # as the cached property would keep it

    def check_identity(self, spec: EncoderSpec) -> None:
        """Raise InputError when `spec` differs from the trained-on encoder in more than what the canary checks."""
        theirs, ours = dict(spec.identity), dict(self.encoder_identity)
        for identity in (theirs, ours):
            for name in ("libraries", "device", "batch_size"):  # a device kind has its own size of batches
                identity.pop(name, None)
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
            return self.encode_and_hash_images(encoder, inputs, k)

        def reports(inputs: Sequence[str], k: int) -> np.ndarray:
            return self.encode_and_hash_reports(encoder, inputs, k)

        if stored is None or not encoder_canary_holds(stored, images, reports):
            theirs, ours = encoder.spec.identity.get("libraries", {}), self.encoder_identity.get("libraries", {})
            theirs = {"device": encoder.spec.identity["device"], **theirs}
            ours = {"device": self.encoder_identity.get("device"), **ours}
            names = [name for name in theirs if theirs[name] != ours.get(name)]
            changed = ", ".join(f"{name} {ours.get(name)} → {theirs[name]}" for name in names)
            raise InputError(
                f"encoder '{self.encoder}' gives the bundle's canary other codes ({changed}); "
                "use the device and the versions of training or train again"
            )


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
        "encoder_source": _named_source(root, encoder),
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


def device_of_codes(uri: str) -> str:
    """The kind of device of the encoder of the bundle at `uri`. Raises InputError where it is missing or damaged."""
    device: str = KIND.open(uri).config["encoder_identity"]["device"]
    return device


def load_bundle(uri: str, device: str = "cpu", encoder_source: str | None = None) -> Bundle:
    """The bundle at `uri`, with every digest verified. Raises InputError when a file is missing or was changed.

    `encoder_source`: where the encoder's files are on this machine, if not where they were in training.
    """
    folder = KIND.open(uri)
    uri, config, contents = folder.uri, folder.config, folder.contents
    shape = Shape.from_json(config["shape"])
    source = encoder_source or _encoder_source(uri, config)
    if code_digest(config["encoder_digest"], config["files"]["model.safetensors"], shape) != config["code_digest"]:
        raise InputError(f"the code digest of bundle '{uri}' does not follow from its contents; train again")
    model = shape.build()
    model.load_state_dict(safetensors.torch.load(contents["model.safetensors"]))
    bundle = Bundle(
        model.to(device).eval(),
        shape,
        device,
        encoder=config["encoder"],
        encoder_identity=config["encoder_identity"],
        encoder_source=source,
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


def _named_source(root: str, encoder: EncoderSpec) -> str | None:
    """Where the encoder's files are, as a bundle below `root` states it: relative where the same store holds them."""
    if encoder.name not in FITTED or encoder.source is None:
        return encoder.source  # a folder, or the id of a hub
    return named(files.parent(files.absolute(root)), files.absolute(encoder.source))


def _encoder_source(bundle: str, config: dict[str, Any]) -> str | None:
    """Where the encoder's files are, as the bundle at URI `bundle` states it."""
    source: str | None = config["encoder_source"]
    if config["encoder"] not in FITTED or source is None or not ("://" in source or source.startswith("encoders/")):
        return source
    store = files.parent(files.parent(bundle))
    return sealed_address(store, source, encoders_folder(store))
