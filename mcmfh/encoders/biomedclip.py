"""BiomedCLIP (Zhang et al. 2023), the MCMFH paper's encoder: ViT-B/16 and PubMedBERT, 512 wide.

Its source is a folder with open_clip_config.json, the weights (open_clip_model.safetensors or
open_clip_pytorch_model.bin) and vocab.txt. A BERT config.json in the folder is used; without one, BiomedBERT's own
configuration is. Nothing is downloaded then.

Or the source is a hub id with its commit: microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224@<commit>. The commit
is required because the weights on the hub were replaced once. In both cases the weights' sha256 is part of the digest.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mcmfh.encoders.base import TOKEN_LENGTHS, Encoder
from mcmfh.encoders.model_folder import file_sha256, model_folder, read_json
from mcmfh.encoders.open_clip import CONFIG, WEIGHTS, build, weight_file
from mcmfh.encoders.preprocessing import ImagePreprocessing
from mcmfh.encoders.spec import EncoderSpec
from mcmfh.errors import InputError
from mcmfh.store.files import digest

HUB_ID = "microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224"
ASK = f"give encoder.source: a folder with {CONFIG}, weights and vocab.txt, or {HUB_ID}@<commit>"

# microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract: what open_clip would fetch from the hub.
_BERT = {
    "architectures": ["BertForMaskedLM"],
    "model_type": "bert",
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "initializer_range": 0.02,
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
}


def spec(device: str, source: str | None = None) -> EncoderSpec:
    """The identity of the encoder at `source` on `device`. Hashes the weight file, but builds no network.

    Raises InputError where a file is missing, or `source` is neither a folder nor a pinned hub revision.
    """
    folder = _folder(source)
    config = _config(folder)
    model, bert = config["model_cfg"], _bert(folder)
    return EncoderSpec(
        name="biomedclip",
        weights=digest([file_sha256(path) for path in (_weights(folder), folder / "vocab.txt")]),
        architecture="open_clip " + digest([model, bert, config.get("preprocess_cfg")]),
        preprocessing=ImagePreprocessing(size=int(model["vision_cfg"]["image_size"]), fit="crop"),
        image_width=int(model["embed_dim"]),
        report_width=int(model["embed_dim"]),
        device=device,
        source=source,
    )


def load(device: str, source: str | None = None) -> Encoder:
    """The encoder with its weights. Raises InputError where they are missing or do not fit the architecture."""
    return Encoder(spec(device, source), BiomedClipTowers(_folder(source), device))


class BiomedClipTowers:
    """open_clip's model. Features are L2-normalised, as in its contrastive training."""

    def __init__(self, folder: Path, device: str):
        from open_clip.tokenizer import get_clean_fn
        from tokenizers import BertWordPieceTokenizer

        config = _config(folder)
        self.model = build(folder, config, _bert(folder)).eval().to(device)  # eval: its BERT has dropout
        statistics = config.get("preprocess_cfg", {})
        self.mean, self.deviation = (torch.tensor(statistics[name], device=device) * 255 for name in ("mean", "std"))
        self.clean = get_clean_fn("whitespace")
        self.tokenizer = BertWordPieceTokenizer(str(folder / "vocab.txt"), lowercase=True)
        self.tokenizer.enable_truncation(min(TOKEN_LENGTHS[-1], int(config["model_cfg"]["text_cfg"]["context_length"])))

    def image_features(self, pixels_BHW3: torch.Tensor) -> torch.Tensor:
        scaled_BHW3 = (pixels_BHW3.float() - self.mean) / self.deviation
        features_BD: torch.Tensor = self.model.encode_image(scaled_BHW3.permute(0, 3, 1, 2), normalize=True)
        return features_BD

    def tokenize(self, reports: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self.tokenizer.encode_batch([self.clean(text) for text in reports])]

    def report_features(self, tokens_BL: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor:
        # The model derives the mask from the padding token, with the same result as `mask_BL`.
        features_BD: torch.Tensor = self.model.encode_text(tokens_BL, normalize=True)
        return features_BD


def _folder(source: str | None) -> Path:
    return model_folder(source, "biomedclip", ASK, [CONFIG, *WEIGHTS, "vocab.txt", "config.json"])


def _config(folder: Path) -> dict[str, Any]:
    config = read_json(folder / CONFIG)
    if "mean" in config.get("preprocess_cfg", {}) and "vision_cfg" in config.get("model_cfg", {}):
        return config
    raise InputError(
        f"'{folder / CONFIG}' lacks model_cfg.vision_cfg or preprocess_cfg.mean; copy it from the model's page"
    )


def _bert(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    return read_json(path) if path.exists() else _BERT


def _weights(folder: Path) -> Path:
    """The weight file. Raises InputError where it or the vocabulary is missing."""
    if not (folder / "vocab.txt").is_file():
        raise InputError(f"'{folder}' has no vocab.txt; copy it from the model's page")
    return weight_file(folder)
