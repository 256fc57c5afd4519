"""BiomedCLIP from a folder: a small one of the same kind, and the true architecture with its real tokenizer (slow).

The weights are random; everything else is what a hospital would load.
"""

import json
import os
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from mcmfh.encoders import encoder_spec, load_encoder
from mcmfh.encoders.biomedclip import _BERT
from mcmfh.encoders.open_clip import CONFIG
from mcmfh.errors import InputError

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [
    *SPECIAL,
    "no",
    "acute",
    "large",
    "pleural",
    "effusion",
    "fracture",
    "of",
    "the",
    "left",
    "rib",
    "##s",
    ".",
    ",",
]
REPORTS = ["No acute fracture.", "Large  LEFT pleural effusion, rib fractures.", "effusion right " * 30, "of " * 400]
STATISTICS = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}


def small_config() -> dict:
    vision = {"timm_model_name": "vit_tiny_patch16_224", "timm_model_pretrained": False, "timm_pool": ""}
    text = {
        "hf_model_name": "somewhere/on-the-hub",
        "hf_tokenizer_name": "somewhere/on-the-hub",
        "hf_proj_type": "mlp",
        "hf_pooler_type": "cls_last_hidden_state_pooler",
        "context_length": 256,
    }
    vision |= {"timm_proj": "linear", "image_size": 224}
    return {"model_cfg": {"embed_dim": 48, "vision_cfg": vision, "text_cfg": text}, "preprocess_cfg": STATISTICS}


SMALL_BERT = {**_BERT, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


def write_model(folder: Path, config: dict, bert: dict | None) -> torch.nn.Module:
    """A folder as BiomedCLIP's, with random weights; returns open_clip's own model of it, built independently."""
    folder.mkdir(exist_ok=True)
    (folder / CONFIG).write_text(json.dumps(config))
    if bert is not None:
        (folder / "config.json").write_text(json.dumps(bert))
    reference = folder.parent / f"{folder.name} reference"
    reference.mkdir()
    (reference / "config.json").write_text(json.dumps(bert or _BERT))
    model_cfg = json.loads(json.dumps(config["model_cfg"]))
    model_cfg["text_cfg"] |= {"hf_model_name": str(reference), "hf_model_pretrained": False}
    torch.manual_seed(0)
    model = open_clip.CustomTextCLIP(**model_cfg)
    save_file(
        {name: tensor.contiguous() for name, tensor in model.state_dict().items()},
        folder / "open_clip_model.safetensors",
    )
    return model.eval()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "small"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return folder, write_model(folder, small_config(), {**SMALL_BERT, "vocab_size": len(WORDS)})


@pytest.fixture(scope="module")
def encoder(small):
    return load_encoder("biomedclip", "cpu", str(small[0]))


def open_clip_transform():
    statistics = {"mean": STATISTICS["mean"], "std": STATISTICS["std"], "interpolation": "bicubic"}
    return open_clip.image_transform(224, is_train=False, resize_mode="shortest", **statistics)


@pytest.mark.parametrize("shape", [(256, 216), (136, 256), (224, 225), (1000, 301), (90, 57), (224, 224)])
def test_crop_is_that_of_open_clip_to_the_pixel(encoder, shape):
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (shape[1], shape[0], 3), np.uint8))
    expected = open_clip_transform()(picture).permute(1, 2, 0)
    expected = (expected * torch.tensor(STATISTICS["std"]) + torch.tensor(STATISTICS["mean"])) * 255
    np.testing.assert_allclose(encoder.spec.preprocessing(picture), expected.numpy(), atol=1e-3)


def check_against_open_clip(encoder, model, vocab: Path):
    """Same features as open_clip's model, transform and full padding to 256 tokens give."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), np.uint8)
    transform = open_clip_transform()
    with torch.inference_mode():
        expected = model.encode_image(torch.stack([transform(Image.fromarray(p)) for p in pixels]), normalize=True)
        tokenizer = open_clip.tokenizer.HFTokenizer(str(vocab), context_length=256)
        texts = model.encode_text(tokenizer(REPORTS), normalize=True)
    np.testing.assert_allclose(encoder.encode_images(pixels), expected.numpy(), atol=2e-6)
    np.testing.assert_allclose(encoder.encode_reports(REPORTS), texts.numpy(), atol=2e-6)


def test_features_are_those_of_open_clip(encoder, small, tmp_path):
    from transformers import BertTokenizerFast

    BertTokenizerFast(str(small[0] / "vocab.txt"), do_lower_case=True).save_pretrained(tmp_path)
    check_against_open_clip(encoder, small[1], tmp_path)


def test_fixed_batches_are_bit_identical_whatever_the_company(encoder):
    alone = np.concatenate([encoder.encode_reports([text], fixed_batch=4) for text in REPORTS])
    assert np.array_equal(
        alone[[2, 0, 3, 1]], encoder.encode_reports([REPORTS[i] for i in (2, 0, 3, 1)], fixed_batch=4)
    )


def test_digest_follows_the_weights_and_not_the_place(small, tmp_path):
    before = encoder_spec("biomedclip", "cpu", str(small[0]))
    (tmp_path / "copy").mkdir()
    for path in small[0].iterdir():
        (tmp_path / "copy" / path.name).write_bytes(path.read_bytes())
    assert encoder_spec("biomedclip", "cpu", f"file://{tmp_path}/copy").digest == before.digest
    assert (before.image_width, before.report_width, before.preprocessing.fit) == (48, 48, "crop")
    weights = tmp_path / "copy" / "open_clip_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert encoder_spec("biomedclip", "cpu", str(tmp_path / "copy")).digest != before.digest


@pytest.mark.parametrize("missing", ["open_clip_model.safetensors", "vocab.txt", CONFIG])
def test_a_missing_file_is_named(small, tmp_path, missing):
    for path in small[0].iterdir():
        if path.name != missing:
            (tmp_path / path.name).symlink_to(path)
    for call in (encoder_spec, load_encoder):
        with pytest.raises(InputError, match=missing.replace(".", r"\.")):
            call("biomedclip", "cpu", str(tmp_path))


def test_weights_of_another_architecture_are_refused(small, tmp_path):
    for path in small[0].iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text(json.dumps({**SMALL_BERT, "vocab_size": len(WORDS) + 1}))
    with pytest.raises(InputError, match="do not fit"):
        load_encoder("biomedclip", "cpu", str(tmp_path))


@pytest.mark.parametrize(
    "source", [None, "/no/such/folder", "microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224"]
)
def test_weights_must_be_named_and_pinned(source):
    with pytest.raises(InputError, match=r"encoder\.source: a folder"):
        encoder_spec("biomedclip", "cpu", source)


def test_a_revision_that_is_not_here_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="copy its files"):
        encoder_spec("biomedclip", "cpu", f"hf-hub:microsoft/model@{'0' * 40}")


@pytest.mark.slow
def test_the_true_architecture_with_its_own_tokenizer(tmp_path):
    shared = Path(os.environ.get("MCMFH_SHARED_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
    tokenizer = shared / "biomedclip_tokenizer"
    if not tokenizer.is_dir():
        pytest.skip("BiomedCLIP's tokenizer is not here")
    folder = tmp_path / "biomedclip"
    folder.mkdir()
    (folder / "vocab.txt").write_bytes((tokenizer / "vocab.txt").read_bytes())
    model = write_model(folder, json.loads((tokenizer / CONFIG).read_text()), None)
    assert round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 1) == 195.9
    encoder = load_encoder("biomedclip", "cpu", str(folder))
    assert (encoder.spec.image_width, encoder.spec.report_width) == (512, 512)
    check_against_open_clip(encoder, model, tokenizer)
