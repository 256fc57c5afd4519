"""The encoders that are timed: packaged, BiomedCLIP's architecture with random weights, and one that costs nothing."""

import json
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from mcmfh.encoders import EncoderSpec, ImagePreprocessing, encoder_spec, load_encoder
from mcmfh.encoders.base import Encoder


class TrivialTowers:
    """One pixel of a picture and the length of a report: what is left of a job's cost is the pipeline's."""

    def image_features(self, pixels_BHW3: torch.Tensor) -> torch.Tensor:
        return pixels_BHW3[:, 0, 0].float()

    def tokenize(self, reports: Sequence[str]) -> list[list[int]]:
        return [[len(report)] for report in reports]

    def report_features(self, tokens_BL: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor:
        return tokens_BL[:, :1].float()


def contestant(name: str, source: str | None = None) -> tuple[EncoderSpec, Callable[[], Encoder]]:
    """(spec, what loads it in a worker) of "trivial" or a configured encoder, on the CPU."""
    if name == "trivial":
        spec = EncoderSpec("trivial", "none", "none", ImagePreprocessing(), 3, 1, "cpu")
        return spec, partial(Encoder, spec, TrivialTowers())
    return encoder_spec(name, "cpu", source), partial(load_encoder, name, "cpu", source)


def random_biomedclip(tokenizer: Path, folder: Path) -> str:
    """A folder as BiomedCLIP's, of its true architecture, from `tokenizer` (open_clip_config.json, vocab.txt)."""
    import open_clip
    from safetensors.torch import save_file

    from mcmfh.encoders.biomedclip import _BERT, CONFIG

    folder.mkdir(parents=True, exist_ok=True)
    for name in (CONFIG, "vocab.txt"):
        shutil.copyfile(tokenizer / name, folder / name)
    (folder / "config.json").write_text(json.dumps(_BERT))
    model = json.loads((folder / CONFIG).read_text())["model_cfg"]
    model["text_cfg"] |= {"hf_model_name": str(folder), "hf_model_pretrained": False}
    torch.manual_seed(0)
    weights = open_clip.CustomTextCLIP(**model).state_dict()
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / "open_clip_model.safetensors")
    return str(folder)
