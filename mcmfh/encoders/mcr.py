"""MCR: towers that jobs/pretrain.py trained on one's own archive, loaded from their digest-named folder."""

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
    """The identity of the towers at the URI `source` on `device`. Reads config.json only.

    Raises InputError where it is missing, or the folder's name is not its digest.
    """
    config = read_config(_required(source))
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


def described(spec: EncoderSpec) -> str:
    """The name of any encoder as pages and cards have it: that of towers says in which space pictures were masked."""
    if spec.name != "mcr" or spec.source is None:
        return spec.name
    return f"{spec.name}, masked in {TowerSettings(**read_config(spec.source)['towers']).masked_space} space"


def load(device: str, source: str | None = None) -> Encoder:
    """The towers with their weights. Raises InputError where a file is missing or was changed."""
    return Encoder(spec(device, source), McrTowers(_required(source), device))


class McrTowers:
    """MCR's towers, applied without masks. Embeddings of both sides are unit vectors in one common space."""

    def __init__(self, source: str, device: str):
        model, self.vocabulary = load_towers(source)
        self.model = model.to(device)

    def image_features(self, pixels_BHW3: torch.Tensor) -> torch.Tensor:
        return self.model.embed_images(pixels_BHW3)

    def tokenize(self, reports: Sequence[str]) -> list[list[int]]:
        return self.vocabulary.tokenize(reports)

    def report_features(self, tokens_BL: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor:
        return self.model.embed_reports(tokens_BL, mask_BL.bool())


def _required(source: str | None) -> str:
    if source is None:
        raise InputError("encoder 'mcr' needs encoder.source: the URI that jobs/pretrain.py printed")
    return source
