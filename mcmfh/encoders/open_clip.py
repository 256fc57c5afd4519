"""Any dual encoder of open_clip's: a folder with open_clip_config.json, or a hub id with its commit.

The folder has the weights, the tokenizer's files where text_cfg names a hub's tokenizer, and config.json where the
report tower is a network of transformers. Nothing is downloaded then, and the sha256 of all these files is part of the
digest. Architecture, pixels and tokens are open_clip's own, so that its models of other images and texts (SigLIP, CoCa,
EVA, PubMedCLIP and others) come out as there. Features are L2-normalised, as in contrastive training.
"""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mcmfh.encoders.base import TOKEN_LENGTHS, Encoder
from mcmfh.encoders.model_folder import TEXT_FILES, files_digest, model_folder, read_json, require_vocabulary
from mcmfh.encoders.preprocessing import ImagePreprocessing
from mcmfh.encoders.spec import EncoderSpec
from mcmfh.errors import InputError
from mcmfh.store.files import digest

CONFIG = "open_clip_config.json"
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
# open_clip's own defaults (transform.PreprocessCfg).
PREPROCESSING = {
    "mean": (0.48145466, 0.4578275, 0.40821073),
    "std": (0.26862954, 0.26130258, 0.27577711),
    "interpolation": "bicubic",
    "resize_mode": "shortest",
    "fill_color": 0,
}
FIT = {"shortest": "crop", "squash": "squash"}
ASK = f"give encoder.source: a folder with {CONFIG} and weights, or OWNER/MODEL@<commit> of a hub"


def spec(device: str, source: str | None = None) -> EncoderSpec:
    """The identity of the model at `source` on `device`. Hashes its files, but builds no network.

    Raises InputError where a file is missing, `source` is neither a folder nor a pinned hub revision, or the model
    wants pictures or texts that this software does not make.
    """
    folder = _folder(source)
    config = read_config(folder)
    model, preprocessing = config["model_cfg"], config["preprocess_cfg"]
    present = [folder / name for name in TEXT_FILES if (folder / name).is_file()]
    return EncoderSpec(
        name="open_clip",
        weights=files_digest([weight_file(folder), *present]),
        architecture="open_clip " + digest([model, preprocessing]),
        preprocessing=_preprocessing(folder, model, preprocessing),
        image_width=int(model["embed_dim"]),
        report_width=int(model["embed_dim"]),
        device=device,
        source=source,
    )


def load(device: str, source: str | None = None) -> Encoder:
    """The encoder with its weights. Raises InputError where they are missing or do not fit the architecture."""
    return Encoder(spec(device, source), OpenClipTowers(_folder(source), device))


class OpenClipTowers:
    """open_clip's model and tokenizer. Every report is padded to the model's own context length."""

    def __init__(self, folder: Path, device: str):
        from open_clip import get_tokenizer

        config = read_config(folder)
        text = config["model_cfg"]["text_cfg"]
        tower = read_json(folder / "config.json") if "hf_model_name" in text else None
        self.model = build(folder, config, tower).eval().to(device)  # eval: some towers have dropout
        statistics = config["preprocess_cfg"]
        self.mean, self.deviation = (torch.tensor(statistics[name], device=device) * 255 for name in ("mean", "std"))
        self.context = _context(folder, text)
        if text.get("hf_tokenizer_name"):
            require_vocabulary(folder)
        try:
            self.tokenizer = get_tokenizer(f"local-dir:{folder}")
        except (OSError, ValueError) as error:
            raise InputError(
                f"'{folder}' has no tokenizer that can be read ({error}); copy its files from the model's page"
            ) from error

    def image_features(self, pixels_BHW3: torch.Tensor) -> torch.Tensor:
        scaled_BHW3 = (pixels_BHW3.float() - self.mean) / self.deviation
        features_BD: torch.Tensor = self.model.encode_image(scaled_BHW3.permute(0, 3, 1, 2), normalize=True)
        return features_BD

    def tokenize(self, reports: Sequence[str]) -> list[list[int]]:
        tokens: list[list[int]] = self.tokenizer(list(reports), self.context).tolist()
        return tokens

    def report_features(self, tokens_BL: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor:
        # The tokenizer has padded to the context already, with the padding that the model knows.
        features_BD: torch.Tensor = self.model.encode_text(tokens_BL[:, : self.context], normalize=True)
        return features_BD


def read_config(folder: Path) -> dict[str, Any]:
    """open_clip_config.json with open_clip's own defaults of preprocess_cfg filled in."""
    config = read_json(folder / CONFIG)
    model = config.get("model_cfg")
    if not isinstance(model, dict) or not {"embed_dim", "vision_cfg", "text_cfg"} <= model.keys():
        raise InputError(
            f"'{folder / CONFIG}' lacks embed_dim, vision_cfg or text_cfg in model_cfg; copy it from the model's page"
        )
    return {**config, "preprocess_cfg": {**PREPROCESSING, **config.get("preprocess_cfg", {})}}


def weight_file(folder: Path) -> Path:
    """The file of weights. Raises InputError where there is none."""
    for name in WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"'{folder}' has no weights; copy {' or '.join(WEIGHTS)} into it")


def build(folder: Path, config: dict[str, Any], report_tower: dict[str, Any] | None) -> Any:
    """open_clip's model with the weights of `folder`; `report_tower`: the configuration of a tower of transformers.

    It is built from a temporary folder with both configurations. Without it open_clip would look up the report tower's
    on the hub.
    """
    import open_clip

    model = config["model_cfg"]
    with tempfile.TemporaryDirectory() as name:
        local, weights = Path(name), weight_file(folder)
        if report_tower is not None:
            (local / "config.json").write_text(json.dumps(report_tower))
            model = {**model, "text_cfg": {**model["text_cfg"], "hf_model_name": name, "hf_tokenizer_name": name}}
        (local / CONFIG).write_text(json.dumps({**config, "model_cfg": model}))
        (local / weights.name).symlink_to(weights.resolve())
        try:
            return open_clip.create_model(f"local-dir:{name}", require_pretrained=True)
        except (RuntimeError, AssertionError) as error:  # open_clip asserts shapes
            raise InputError(
                f"weights '{weights}' do not fit {CONFIG} ({error}); take both from one revision"
            ) from error


def _folder(source: str | None) -> Path:
    return model_folder(source, "open_clip", ASK, [CONFIG, *WEIGHTS, *TEXT_FILES])


def _context(folder: Path, text: dict[str, Any]) -> int:
    """Tokens that a report is cut to and padded to; 77 is open_clip's default."""
    context = int(text.get("context_length", 77))
    if context > TOKEN_LENGTHS[-1]:
        raise InputError(f"the model in '{folder}' reads {context} tokens; at most {TOKEN_LENGTHS[-1]} are supported")
    return context


def _preprocessing(folder: Path, model: dict[str, Any], wanted: dict[str, Any]) -> ImagePreprocessing:
    size, fit = model["vision_cfg"].get("image_size", 224), FIT.get(wanted["resize_mode"])
    sides = size if isinstance(size, list) else [size, size]
    kernel = wanted["interpolation"]
    if len(set(sides)) > 1 or fit is None or kernel not in ("bicubic", "bilinear") or wanted["fill_color"] != 0:
        raise InputError(
            f"'{folder / CONFIG}' asks for pictures of {sides} pixels, resize_mode {wanted['resize_mode']}, "
            f"interpolation {kernel}, fill_color {wanted['fill_color']}; use a model with square pictures, one of "
            f"{' and '.join(FIT)}, bicubic or bilinear, on black"
        )
    return ImagePreprocessing(size=int(sides[0]), fit=fit, kernel=kernel)
