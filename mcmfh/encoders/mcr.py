"""MCR: towers that were pretrained on one's own archive (jobs/pretrain.py), from their digest-named folder."""

from collections.abc import Sequence

import torch

from mcmfh.encoders.base import Encoder
from mcmfh.encoders.mcr_towers.bundle import load_towers, read_config
from mcmfh.encoders.mcr_towers.settings import TowerSettings
from mcmfh.encoders.preprocessing import ImagePreprocessing
from mcmfh.encoders.spec import EncoderSpec
from mcmfh.errors import InputError
from mcmfh.store.files import digest


def spec(device: str, source: str | None = None) -> EncoderSpec:
    """What the towers at `source` (a URI) are on `device`; reads config.json only, whose digest is the folder's name.

    Raises InputError when there are none or they were changed.
    """
    config = read_config(_named(source))
    settings = TowerSettings(**config["towers"])
    return EncoderSpec(
        name="mcr",
        weights=digest([config["files"]["model.safetensors"], config["files"]["vocab.txt"]]),
        architecture="mcr " + digest(config["towers"]),
        preprocessing=ImagePreprocessing(size=settings.image_size, fit=settings.fit),
        image_width=settings.embedding,
        report_width=settings.embedding,
        device=device,
        source=source,
    )


def load(device: str, source: str | None = None) -> Encoder:
    """The towers with their weights. Raises InputError when a file is missing or was changed."""
    return Encoder(spec(device, source), McrTowers(_named(source), device))


class McrTowers:
    """Unmasked; embeddings are unit vectors of one common space."""

    def __init__(self, source: str, device: str):
        model, self.vocabulary = load_towers(source)
        self.model = model.to(device)

    def image_features(self, pixels_BHW3: torch.Tensor) -> torch.Tensor:
        return self.model.embed_images(pixels_BHW3)

    def tokenize(self, reports: Sequence[str]) -> list[list[int]]:
        return self.vocabulary.tokenize(reports)

    def report_features(self, tokens_BL: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor:
        return self.model.embed_reports(tokens_BL, mask_BL.bool())


def _named(source: str | None) -> str:
    if source is None:
        raise InputError("encoder 'mcr' needs encoder.source: the URI that jobs/pretrain.py printed")
    return source
