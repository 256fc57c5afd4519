"""Models of open_clip from a folder: small ones of three kinds, and true architectures (slow), with random weights.

What they are compared with is open_clip's own way from a folder to features.
"""

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from support.dual_encoders import REPORTS, WORDS, write_open_clip, write_tokenizer

from mcmfh.encoders import encoder_spec, load_encoder
from mcmfh.errors import InputError

CLIP = {
    "model_cfg": {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 64, "layers": 1, "width": 32, "head_width": 16, "patch_size": 32},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
}
SIGLIP = {
    "model_cfg": {
        "embed_dim": 192,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {
            "image_size": 224,
            "timm_model_name": "vit_tiny_patch16_224",
            "timm_model_pretrained": False,
            "timm_pool": "token",
            "timm_proj": "none",
        },
        "text_cfg": {
            "context_length": 64,
            "vocab_size": 15,
            "hf_tokenizer_name": "somewhere/on-the-hub",
            "tokenizer_kwargs": {"clean": "canonicalize"},
            "width": 32,
            "heads": 2,
            "layers": 1,
            "no_causal_mask": True,
            "proj_bias": True,
            "pool_type": "last",
        },
    },
    "preprocess_cfg": {
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "interpolation": "bilinear",
        "resize_mode": "squash",
    },
}
BERT = {
    "model_cfg": {
        "embed_dim": 24,
        "vision_cfg": CLIP["model_cfg"]["vision_cfg"],
        "text_cfg": {
            "hf_model_name": "somewhere/on-the-hub",
            "hf_tokenizer_name": "somewhere/on-the-hub",
            "hf_proj_type": "mlp",
            "hf_pooler_type": "mean_pooler",
            "context_length": 256,
        },
    },
    "preprocess_cfg": {"resize_mode": "squash"},
}
TOWER = {
    "model_type": "bert",
    "vocab_size": 15,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
}
KINDS = {"clip": (CLIP, None), "siglip": (SIGLIP, None), "bert": (BERT, TOWER)}


@pytest.fixture(scope="module", params=list(KINDS))
def folder(request, tmp_path_factory) -> Path:
    config, tower = KINDS[request.param]
    folder = tmp_path_factory.mktemp("model") / request.param
    write_open_clip(folder, config, tower)
    if request.param != "clip":
        write_tokenizer(folder)
    if tower:
        (folder / "config.json").write_text(json.dumps(tower))
    return folder


def own_features(folder: Path, pictures: list[Image.Image]) -> tuple[np.ndarray, np.ndarray]:
    """(pictures, REPORTS) as open_clip itself encodes them, from a folder that names no hub."""
    config = json.loads((folder / "open_clip_config.json").read_text())
    if "hf_model_name" in config["model_cfg"]["text_cfg"]:
        config["model_cfg"]["text_cfg"]["hf_model_name"] = str(folder)
        folder = Path(str(folder) + " reference")
        folder.mkdir(exist_ok=True)
        for path in Path(config["model_cfg"]["text_cfg"]["hf_model_name"]).iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        (folder / "open_clip_config.json").write_text(json.dumps(config))
    model, transform = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    model.eval()
    with torch.inference_mode():
        images = model.encode_image(torch.stack([transform(picture) for picture in pictures]), normalize=True)
        return images.numpy(), model.encode_text(tokenizer(REPORTS), normalize=True).numpy()


def pictures() -> list[Image.Image]:
    """None of them upright: for some of those, Pillow 13 resizes the height first, and resampling.py never does."""
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (*shape, 3), np.uint8)) for shape in ((57, 90), (136, 256), (64, 64))]


def check(encoder, folder: Path) -> None:
    images, reports = own_features(folder, pictures())
    pixels = np.stack([encoder.spec.preprocessing(picture) for picture in pictures()])
    np.testing.assert_allclose(encoder.encode_images(pixels), images, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_reports(REPORTS), reports, atol=1e-5)


def test_features_are_those_of_open_clip(folder):
    encoder = load_encoder("open_clip", "cpu", str(folder))
    assert encoder.spec.image_width == encoder.spec.report_width
    check(encoder, folder)


def test_fixed_batches_are_bit_identical_whatever_the_company(folder):
    encoder = load_encoder("open_clip", "cpu", str(folder))
    alone = np.concatenate([encoder.encode_reports([text], fixed_batch=4) for text in REPORTS])
    order = [2, 0, 3, 1]
    assert np.array_equal(alone[order], encoder.encode_reports([REPORTS[i] for i in order], fixed_batch=4))


def test_digest_follows_weights_tokenizer_and_settings_and_not_the_address(folder, tmp_path):
    before = encoder_spec("open_clip", "cpu", str(folder))
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    assert encoder_spec("open_clip", "cpu", f"file://{copy}").digest == before.digest
    changes = ["open_clip_model.safetensors", *(["tokenizer.json"] if (copy / "tokenizer.json").exists() else [])]
    digests = {before.digest}
    for name in changes:
        data = bytearray((copy / name).read_bytes())
        data[-2] ^= 1
        (copy / name).write_bytes(data)
        digests.add(encoder_spec("open_clip", "cpu", str(copy)).digest)
    config = json.loads((copy / "open_clip_config.json").read_text())
    config["preprocess_cfg"] = config.get("preprocess_cfg", {}) | {"mean": [0.4, 0.5, 0.5]}
    (copy / "open_clip_config.json").write_text(json.dumps(config))
    digests.add(encoder_spec("open_clip", "cpu", str(copy)).digest)
    assert len(digests) == len(changes) + 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"interpolation": "random"}, "interpolation random"),
        ({"resize_mode": "longest"}, "resize_mode longest"),
        ({"fill_color": 255}, "fill_color 255"),
        ({"size": [224, 160]}, r"\[224, 160\]"),
    ],
)
def test_pictures_that_are_not_made_here_are_refused(tmp_path, change, message):
    config = json.loads(json.dumps(CLIP))
    if "size" in change:
        config["model_cfg"]["vision_cfg"]["image_size"] = change.pop("size")
    (tmp_path / "open_clip_config.json").write_text(json.dumps({**config, "preprocess_cfg": change}))
    (tmp_path / "open_clip_model.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match=message):
        encoder_spec("open_clip", "cpu", str(tmp_path))


def test_weights_of_another_architecture_are_refused(tmp_path):
    write_open_clip(tmp_path / "model", CLIP)
    config = json.loads(json.dumps(CLIP))
    config["model_cfg"]["text_cfg"]["width"] = 32
    (tmp_path / "model" / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="do not fit"):
        load_encoder("open_clip", "cpu", str(tmp_path / "model"))


@pytest.mark.parametrize("missing", ["open_clip_model.safetensors", "open_clip_config.json"])
def test_a_missing_file_is_named(tmp_path, missing):
    write_open_clip(tmp_path / "model", CLIP)
    (tmp_path / "model" / missing).unlink()
    for call in (encoder_spec, load_encoder):
        with pytest.raises(InputError, match=missing.replace(".", r"\.")):
            call("open_clip", "cpu", str(tmp_path / "model"))


def test_a_missing_tokenizer_is_named(tmp_path):
    write_open_clip(tmp_path / "model", SIGLIP)
    with pytest.raises(InputError, match="tokenizer"):
        load_encoder("open_clip", "cpu", str(tmp_path / "model"))


@pytest.mark.parametrize("source", [None, "/no/such/folder", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"])
def test_weights_must_be_named_and_pinned(source):
    with pytest.raises(InputError, match=r"encoder\.source: a folder"):
        encoder_spec("open_clip", "cpu", source)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "millions"), [("ViT-B-32", 151.3), ("ViT-B-16-SigLIP", 203.2)])
def test_true_architectures(tmp_path, name, millions):
    model = open_clip.get_model_config(name)
    if name.endswith("SigLIP"):
        write_open_clip(tmp_path / name, {**SIGLIP, "model_cfg": model})
        write_tokenizer(tmp_path / name, [*WORDS, *(f"word{i}" for i in range(1000))])
    else:
        write_open_clip(tmp_path / name, {"model_cfg": model})
    encoder = load_encoder("open_clip", "cpu", str(tmp_path / name))
    assert round(sum(p.numel() for p in encoder.towers.model.parameters()) / 1e6, 1) == millions
    check(encoder, tmp_path / name)
