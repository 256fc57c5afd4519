"""Dual encoders of transformers: CLIP and SigLIP (MedSigLIP is one), from a folder or a hub id with its commit.

The folder is as `save_pretrained` writes it: config.json, safetensors, the tokenizer's files, and the settings of the
image processor in preprocessor_config.json or processor_config.json. Their sha256 is part of the digest. Weights in
pickles are not read. Features are L2-normalised, as in contrastive training. SigLIP's reports are always padded to
their whole length, as it was trained.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from mcmfh.encoders.base import TOKEN_LENGTHS, Encoder
from mcmfh.encoders.model_folder import TEXT_FILES, files_digest, model_folder, read_json, require_vocabulary
from mcmfh.encoders.preprocessing import ImagePreprocessing
from mcmfh.encoders.spec import EncoderSpec
from mcmfh.errors import InputError
from mcmfh.store.files import digest

CONFIG = "config.json"
PROCESSORS = ("preprocessor_config.json", "processor_config.json")
KINDS = {"clip": "CLIPModel", "siglip": "SiglipModel"}  # model_type → class of transformers
# Pillow's number of each kernel.
KERNELS = {2: "bilinear", 3: "bicubic"}
ASK = f"give encoder.source: a folder with {CONFIG} and safetensors, or OWNER/MODEL@<commit> of a hub"


def spec(device: str, source: str | None = None) -> EncoderSpec:
    """The identity of the model at `source` on `device`. Hashes its files, but builds no network.

    Raises InputError where a file is missing, `source` is neither a folder nor a pinned hub revision, or the model is
    of another kind.
    """
    folder = _folder(source)
    config, width = _config(folder)
    text = [folder / name for name in TEXT_FILES if name != CONFIG and (folder / name).is_file()]
    return EncoderSpec(
        name="transformers",
        weights=files_digest([*_weights(folder), *text]),
        architecture="transformers " + digest([_without_versions(config), _processor(folder)]),
        preprocessing=_preprocessing(folder),
        image_width=width,
        report_width=width,
        device=device,
        source=source,
    )


def load(device: str, source: str | None = None) -> Encoder:
    """The encoder with its weights. Raises InputError where they are missing or do not fit the architecture."""
    return Encoder(spec(device, source), TransformersTowers(_folder(source), device))


class TransformersTowers:
    """The model and its tokenizer. Every report is padded to the model's own context length."""

    def __init__(self, folder: Path, device: str):
        import transformers

        transformers.utils.logging.disable_progress_bar()
        config, _ = _config(folder)
        model_class = getattr(transformers, KINDS[config["model_type"]])
        try:
            self.model, loaded = model_class.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, output_loading_info=True, dtype=torch.float32
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(
                f"weights in '{folder}' do not fit {CONFIG} ({error}); take both from one revision"
            ) from error
        if unset := sorted([*loaded["missing_keys"], *loaded["mismatched_keys"]], key=str):
            raise InputError(
                f"weights in '{folder}' do not fit {CONFIG}: {len(unset)} tensors are missing or of another shape "
                f"(first: {unset[0]}); take both from one revision"
            )
        self.model.eval().to(device)
        require_vocabulary(folder)
        try:
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, ImportError) as error:
            raise InputError(
                f"'{folder}' has no tokenizer that can be read ({error}); copy its files from the model's page"
            ) from error
        self.context = int(self.model.config.text_config.max_position_embeddings)
        if self.context > TOKEN_LENGTHS[-1]:
            raise InputError(
                f"the model in '{folder}' reads {self.context} tokens; at most {TOKEN_LENGTHS[-1]} are supported"
            )
        wanted = _processor(folder)
        scale = 1 / wanted.get("rescale_factor", 1 / 255)
        self.mean, self.deviation = (
            torch.tensor(wanted[name], device=device) * scale for name in ("image_mean", "image_std")
        )

    def image_features(self, pixels_BHW3: torch.Tensor) -> torch.Tensor:
        scaled_BHW3 = (pixels_BHW3.float() - self.mean) / self.deviation
        return _unit(self.model.get_image_features(scaled_BHW3.permute(0, 3, 1, 2)))

    def tokenize(self, reports: Sequence[str]) -> list[list[int]]:
        padded = self.tokenizer(list(reports), padding="max_length", truncation=True, max_length=self.context)
        rows: list[list[int]] = padded["input_ids"]
        return rows

    def report_features(self, tokens_BL: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor:
        # No mask: CLIP's attention looks back alone, and SigLIP was trained without one.
        return _unit(self.model.get_text_features(input_ids=tokens_BL[:, : self.context]))


def _unit(features: Any) -> torch.Tensor:
    return functional.normalize(features.pooler_output, dim=-1)


def _folder(source: str | None) -> Path:
    wanted = [CONFIG, *PROCESSORS, "*.safetensors", "*.safetensors.index.json", *TEXT_FILES]
    return model_folder(source, "transformers", ASK, wanted)


def _config(folder: Path) -> tuple[dict[str, Any], int]:
    """(config.json, embedding width). The width is that of transformers' own defaults where the file leaves it out."""
    from transformers import CLIPConfig, SiglipConfig

    config = read_json(folder / CONFIG)
    kind = config.get("model_type")
    if kind not in KINDS:
        raise InputError(
            f"the model in '{folder}' is of type {kind!r}; encoder 'transformers' takes {' and '.join(KINDS)}"
        )
    full: Any = CLIPConfig(**config) if kind == "clip" else SiglipConfig(**config)
    return config, int(full.projection_dim if kind == "clip" else full.vision_config.hidden_size)


def _weights(folder: Path) -> list[Path]:
    """The safetensors files, several where a large model is cut into shards."""
    index = folder / "model.safetensors.index.json"
    names = sorted(set(read_json(index).get("weight_map", {}).values())) if index.is_file() else ["model.safetensors"]
    for name in names:
        if not (folder / name).is_file():
            raise InputError(f"'{folder}' has no weights {name}; copy it from the model's page (pickles are not read)")
    return [folder / name for name in names]


def _without_versions(config: dict[str, Any]) -> dict[str, Any]:
    """config.json without what says who wrote it: copies of one model have one digest."""
    return {name: value for name, value in config.items() if name not in ("transformers_version", "_name_or_path")}


def _processor(folder: Path) -> dict[str, Any]:
    """The settings of the image processor."""
    for name in PROCESSORS:
        if (folder / name).is_file():
            settings = read_json(folder / name)
            settings = settings.get("image_processor", settings)
            if "image_mean" in settings and "image_std" in settings and "size" in settings:
                return dict(settings)
    raise InputError(f"'{folder}' has no {PROCESSORS[0]} with size and image_mean; copy it from the model's page")


def _preprocessing(folder: Path) -> ImagePreprocessing:
    wanted = _processor(folder)
    size, crop = wanted["size"], wanted.get("crop_size") or {}
    # Older files give one number for both sides.
    size = {"shortest_edge": size} if isinstance(size, int) else size
    crop = {"height": crop, "width": crop} if isinstance(crop, int) else crop
    kernel = KERNELS.get(wanted.get("resample", 3))
    cut = wanted.get("do_center_crop", False)
    if kernel and cut and size.get("shortest_edge") == crop.get("height") == crop.get("width") is not None:
        return ImagePreprocessing(size=int(size["shortest_edge"]), fit="crop", kernel=kernel)
    if kernel and not cut and size.get("height") == size.get("width") is not None:
        return ImagePreprocessing(size=int(size["height"]), fit="squash", kernel=kernel)
    raise InputError(
        f"the image processor in '{folder}' resizes to {size}, crops to {crop if cut else 'nothing'} by kernel "
        f"{wanted.get('resample')}; use a model with square pictures, bicubic or bilinear"
    )
