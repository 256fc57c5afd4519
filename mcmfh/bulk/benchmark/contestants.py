"""The encoders that are timed: packaged, BiomedCLIP's architecture with random weights, and one that costs nothing.

Torch is imported where a model is made: a job's driver does without it.
"""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mcmfh.encoders import EncoderSpec, ImagePreprocessing, encoder_spec, load_encoder

if TYPE_CHECKING:
    from mcmfh.encoders.base import Encoder


def contestant(name: str, source: str | None = None) -> tuple[EncoderSpec, "Callable[[], Encoder]"]:
    """(spec, what loads it in a worker) of "trivial" or a configured encoder, on the CPU."""
    if name == "trivial":
        spec = EncoderSpec("trivial", "none", "none", ImagePreprocessing(), 3, 1, "cpu")
        return spec, partial(_load_trivial, spec)
    return encoder_spec(name, "cpu", source), partial(load_encoder, name, "cpu", source)


def _load_trivial(spec: EncoderSpec) -> "Encoder":
    from mcmfh.bulk.benchmark.trivial import TrivialTowers
    from mcmfh.encoders.base import Encoder

    return Encoder(spec, TrivialTowers())


def random_biomedclip(tokenizer: Path, folder: Path) -> str:
    """A folder as BiomedCLIP's, of its true architecture, from `tokenizer` (open_clip_config.json, vocab.txt)."""
    import open_clip
    import torch
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
