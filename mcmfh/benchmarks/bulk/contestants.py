"""The encoders that are timed: packaged, BiomedCLIP's architecture with random weights, and a trivial one.

Torch is imported where a model is built, because a job's driver does without it.
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


def contestant(
    name: str, source: str | None = None, device: str = "cpu"
) -> tuple[EncoderSpec, "Callable[[], Encoder]"]:
    """(spec, what loads it in a worker) of "trivial" or a configured encoder, on `device` ("cpu" | "cuda")."""
    if name == "trivial":
        spec = EncoderSpec("trivial", "none", "none", ImagePreprocessing(), 3, 1, device)
        return spec, partial(_load_trivial, spec)
    return encoder_spec(name, device, source), partial(load_encoder, name, device, source)


def _load_trivial(spec: EncoderSpec) -> "Encoder":
    from mcmfh.benchmarks.bulk.trivial import TrivialTowers
    from mcmfh.encoders.base import Encoder

    return Encoder(spec, TrivialTowers())


# A model of BiomedCLIP's kind, small enough to encode thousands of items in minutes on two cores.
_SMALL_VISION = {"timm_model_name": "vit_tiny_patch16_224"}
_SMALL_BERT = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024}


def random_biomedclip(tokenizer: Path, folder: Path, small: bool = False) -> str:
    """Make a folder like BiomedCLIP's, with random weights of its architecture or a `small` one; returns its path.

    `tokenizer`: a folder with BiomedCLIP's files, weights excepted."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    from mcmfh.encoders.biomedclip import _BERT
    from mcmfh.encoders.open_clip import CONFIG, WEIGHTS

    shutil.copytree(tokenizer, folder, ignore=shutil.ignore_patterns(*WEIGHTS), dirs_exist_ok=True)
    (folder / "config.json").write_text(json.dumps(_BERT | (_SMALL_BERT if small else {})))
    config = json.loads((folder / CONFIG).read_text())
    model = config["model_cfg"]
    model["vision_cfg"] |= _SMALL_VISION if small else {}
    model["text_cfg"] |= {"hf_model_name": str(folder), "hf_tokenizer_name": str(folder), "hf_model_pretrained": False}
    (folder / CONFIG).write_text(json.dumps(config))
    torch.manual_seed(0)
    weights = open_clip.CustomTextCLIP(**model).state_dict()
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / "open_clip_model.safetensors")
    return str(folder)
