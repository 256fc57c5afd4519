"""BiomedCLIP (Zhang et al. 2023), the MCMFH paper's encoder: ViT-B/16 and PubMedBERT, 512 wide.

Its source is a folder with open_clip_config.json, the weights (open_clip_model.safetensors or
open_clip_pytorch_model.bin) and vocab.txt. A BERT config.json in the folder is used; without one, BiomedBERT's own
configuration is. Nothing is downloaded then.

Or the source is a hub id with its commit: microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224@<commit>. The commit
is required because the weights on the hub were replaced once. In both cases the weights' sha256 is part of the digest.
"""

import hashlib
import json
import re
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from mcmfh.encoders.base import TOKEN_LENGTHS, Encoder
from mcmfh.encoders.preprocessing import ImagePreprocessing
from mcmfh.encoders.spec import EncoderSpec
from mcmfh.errors import InputError
from mcmfh.store.files import digest

CONFIG = "open_clip_config.json"
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
HUB_ID = "microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224"

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
        weights=digest([_sha256(path, path.stat().st_mtime_ns) for path in (_weights(folder), folder / "vocab.txt")]),
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
        self.model = _build(folder, config).eval().to(device)  # eval: its BERT has dropout
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
    """The local folder of `source`: a path, or the cached copy of a pinned hub revision, downloaded if necessary."""
    ask = f"give encoder.source: a folder with {CONFIG}, weights and vocab.txt, or {HUB_ID}@<commit>"
    if source is None:
        raise InputError(f"encoder 'biomedclip' has no weights of its own; {ask}")
    path = Path(source.removeprefix("file://")).expanduser()
    if path.is_dir():
        return path
    pinned = re.fullmatch(r"(?:hf-hub:)?([\w.-]+/[\w.-]+)@([0-9a-f]{40})", source)
    if pinned is None:
        raise InputError(f"encoder source '{source}' is neither a folder nor a hub id with its 40-digit commit; {ask}")
    return _from_hub(*pinned.groups())


def _from_hub(repository: str, revision: str) -> Path:
    from huggingface_hub import snapshot_download

    wanted = [CONFIG, *WEIGHTS, "vocab.txt", "config.json"]
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=wanted))
    except Exception as error:  # the hub client raises many types: no network, unknown revision, no access
        raise InputError(
            f"'{repository}@{revision}' is not in the hub's cache and could not be fetched ({error}); "
            "copy its files to this machine and give their folder as encoder.source"
        ) from error


def _config(folder: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text())
        if "mean" in config["preprocess_cfg"] and "vision_cfg" in config["model_cfg"]:
            return config
    except (FileNotFoundError, json.JSONDecodeError, KeyError) as error:
        raise InputError(
            f"'{folder / CONFIG}' is missing or broken ({error!r}); copy it from the model's page"
        ) from error
    raise InputError(
        f"'{folder / CONFIG}' lacks model_cfg.vision_cfg or preprocess_cfg.mean; copy it from the model's page"
    )


def _bert(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.exists():
        return _BERT
    config: dict[str, Any] = json.loads(path.read_text())
    return config


def _weights(folder: Path) -> Path:
    """The weight file. Raises InputError where it or the vocabulary is missing."""
    if not (folder / "vocab.txt").is_file():
        raise InputError(f"'{folder}' has no vocab.txt; copy it from the model's page")
    for name in WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"'{folder}' has no weights; copy {' or '.join(WEIGHTS)} into it")


@lru_cache(maxsize=8)
def _sha256(path: Path, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _build(folder: Path, config: dict[str, Any]) -> Any:
    """open_clip's model, built from a temporary folder with both configurations.

    Without it open_clip would look up the text tower's configuration on the hub.
    """
    import open_clip

    with tempfile.TemporaryDirectory() as name:
        local, weights = Path(name), _weights(folder)
        text = {**config["model_cfg"]["text_cfg"], "hf_model_name": name, "hf_tokenizer_name": name}
        (local / CONFIG).write_text(json.dumps({**config, "model_cfg": {**config["model_cfg"], "text_cfg": text}}))
        (local / "config.json").write_text(json.dumps(_bert(folder)))
        (local / weights.name).symlink_to(weights.resolve())
        try:
            return open_clip.create_model(f"local-dir:{name}", require_pretrained=True)
        except RuntimeError as error:
            raise InputError(
                f"weights '{weights}' do not fit {CONFIG} ({error}); take both from one revision"
            ) from error
