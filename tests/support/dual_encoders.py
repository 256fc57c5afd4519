"""Folders of dual encoders with random weights, as a hub would hold them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

WORDS = ("no", "acute", "large", "pleural", "effusion", "fracture", "of", "the", "left", "rib", ".", ",")
REPORTS = ["No acute fracture.", "Large  LEFT pleural effusion, rib fracture.", "effusion right " * 30, "of " * 400]


def write_tokenizer(folder: Path, words: Sequence[str] = WORDS, length: int = 64) -> None:
    """A tokenizer of whole words, written as transformers does; pad 0, end of text 1, unknown 2."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(["<pad>", "</s>", "<unk>", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=length, **special).save_pretrained(folder)


def write_open_clip(
    folder: Path, config: dict[str, Any], report_tower: dict[str, Any] | None = None
) -> torch.nn.Module:
    """A folder of open_clip's with random weights of `config`; returns the model, built by open_clip alone.

    `report_tower`: config.json of a report tower of transformers.
    """
    import open_clip

    folder.mkdir(exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    model = json.loads(json.dumps(config["model_cfg"]))
    kind = open_clip.CustomTextCLIP if model.pop("custom_text", False) or report_tower else open_clip.CLIP
    if report_tower is not None:
        (folder / "config.json").write_text(json.dumps(report_tower))
        model["text_cfg"] |= {"hf_model_name": str(folder), "hf_model_pretrained": False}
    torch.manual_seed(0)
    network: torch.nn.Module = kind(**model)
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    return network.eval()
