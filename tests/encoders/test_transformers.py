"""CLIP and SigLIP of transformers from a folder: small ones, and true architectures (slow), with random weights.

What they are compared with is transformers' own way from pictures and texts to features.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from support.dual_encoders import REPORTS, WORDS, write_tokenizer

from mcmfh.encoders import encoder_spec, load_encoder
from mcmfh.errors import InputError

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}


def write(folder: Path, kind: str, text: dict, vision: dict, image: dict, words=WORDS, **common) -> Path:
    """A folder as `save_pretrained` writes it, with random weights."""
    torch.manual_seed(0)
    text = {"vocab_size": len(words) + 3, "pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 1} | text
    if kind == "clip":
        config = transformers.CLIPConfig(text_config=text, vision_config=vision, **common)
        transformers.CLIPModel(config).save_pretrained(folder)
        transformers.CLIPImageProcessorPil(**image).save_pretrained(folder)
    else:
        config = transformers.SiglipConfig(text_config=text, vision_config=vision)
        transformers.SiglipModel(config).save_pretrained(folder)
        transformers.SiglipImageProcessorPil(**image).save_pretrained(folder)
    write_tokenizer(folder, words)
    return folder


def write_small(folder: Path, kind: str) -> Path:
    vision = {**SMALL, "image_size": 64, "patch_size": 32}
    if kind == "clip":
        image = {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}}
        return write(folder, kind, {**SMALL, "max_position_embeddings": 77}, vision, image, projection_dim=24)
    image = {"size": {"height": 64, "width": 64}, "resample": 2 if kind == "medsiglip" else 3}
    return write(folder, kind, {**SMALL, "max_position_embeddings": 64}, vision, image)


@pytest.fixture(scope="module", params=["clip", "siglip", "medsiglip"])
def folder(request, tmp_path_factory) -> Path:
    return write_small(tmp_path_factory.mktemp("model") / request.param, request.param)


def pictures() -> list[Image.Image]:
    """None of them upright: for some of those, Pillow 13 resizes the height first, and resampling.py never does."""
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (*shape, 3), np.uint8)) for shape in ((57, 90), (136, 256), (64, 64))]


def check(encoder, folder: Path) -> None:
    """Same features as the library's own processor, tokenizer and forward pass give."""
    kind = json.loads((folder / "config.json").read_text())["model_type"]
    classes = {
        "clip": (transformers.CLIPModel, transformers.CLIPImageProcessorPil),
        "siglip": (transformers.SiglipModel, transformers.SiglipImageProcessorPil),
    }
    model_class, processor_class = classes[kind]
    model, processor = model_class.from_pretrained(folder).eval(), processor_class.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    length = model.config.text_config.max_position_embeddings
    tokens = tokenizer(REPORTS, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
    with torch.inference_mode():
        output = model(
            input_ids=tokens["input_ids"],
            attention_mask=tokens["attention_mask"] if kind == "clip" else None,
            pixel_values=processor(pictures(), return_tensors="pt")["pixel_values"],
        )
    pixels = np.stack([encoder.spec.preprocessing(picture) for picture in pictures()])
    np.testing.assert_allclose(encoder.encode_images(pixels), output.image_embeds.numpy(), atol=1e-5)
    np.testing.assert_allclose(encoder.encode_reports(REPORTS), output.text_embeds.numpy(), atol=1e-5)


def test_features_are_those_of_transformers(folder):
    encoder = load_encoder("transformers", "cpu", str(folder))
    assert encoder.spec.image_width == encoder.spec.report_width == (24 if folder.name == "clip" else 32)
    assert encoder.spec.preprocessing.kernel == ("bilinear" if folder.name == "medsiglip" else "bicubic")
    check(encoder, folder)


def test_fixed_batches_are_bit_identical_whatever_the_company(folder):
    encoder = load_encoder("transformers", "cpu", str(folder))
    alone = np.concatenate([encoder.encode_reports([text], fixed_batch=4) for text in REPORTS])
    order = [2, 0, 3, 1]
    assert np.array_equal(alone[order], encoder.encode_reports([REPORTS[i] for i in order], fixed_batch=4))


def copy(folder: Path, to: Path) -> Path:
    to.mkdir()
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


def test_digest_follows_weights_tokenizer_and_processor_and_not_the_address(folder, tmp_path):
    digests = {encoder_spec("transformers", "cpu", str(folder)).digest}
    other = copy(folder, tmp_path / "copy")
    digests.add(encoder_spec("transformers", "cpu", str(other)).digest)
    assert len(digests) == 1
    processor = json.loads((other / "preprocessor_config.json").read_text())
    (other / "preprocessor_config.json").write_text(json.dumps(processor | {"image_mean": [0.4, 0.5, 0.5]}))
    digests.add(encoder_spec("transformers", "cpu", str(other)).digest)
    for name in ("model.safetensors", "tokenizer.json"):
        data = bytearray((other / name).read_bytes())
        data[-2] ^= 1
        (other / name).write_bytes(data)
        digests.add(encoder_spec("transformers", "cpu", str(other)).digest)
    assert len(digests) == 4


def test_shards_are_read_as_one_model(folder, tmp_path):
    whole = load_encoder("transformers", "cpu", str(folder))
    cut = copy(folder, tmp_path / "cut")
    (cut / "model.safetensors").unlink()
    whole.towers.model.save_pretrained(cut, max_shard_size="20KB")
    assert len(list(cut.glob("*.safetensors"))) > 1
    sharded = load_encoder("transformers", "cpu", str(cut))
    assert np.array_equal(sharded.encode_reports(REPORTS), whole.encode_reports(REPORTS))
    next(cut.glob("model-00002-*.safetensors")).unlink()
    with pytest.raises(InputError, match="model-00002"):
        encoder_spec("transformers", "cpu", str(cut))


@pytest.mark.parametrize("missing", ["model.safetensors", "config.json", "preprocessor_config.json", "tokenizer.json"])
def test_a_missing_file_is_named(tmp_path, missing):
    folder = write_small(tmp_path / "model", "clip")
    (folder / missing).unlink()
    with pytest.raises(InputError, match=missing.replace(".", r"\.")):
        load_encoder("transformers", "cpu", str(folder))


def test_weights_of_another_architecture_are_refused(tmp_path):
    folder = write_small(tmp_path / "model", "siglip")
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"]["num_hidden_layers"] = 2
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="do not fit"):
        load_encoder("transformers", "cpu", str(folder))


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("config.json", {"model_type": "blip"}, "'blip'.*clip and siglip"),
        ("preprocessor_config.json", {"resample": 1}, "kernel 1"),
        ("preprocessor_config.json", {"size": {"height": 64, "width": 32}}, "square"),
    ],
)
def test_models_of_another_kind_are_refused(tmp_path, file, change, message):
    folder = write_small(tmp_path / "model", "siglip")
    value = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(value | change))
    with pytest.raises(InputError, match=message):
        encoder_spec("transformers", "cpu", str(folder))


def test_weights_in_a_pickle_are_not_read(tmp_path):
    folder = write_small(tmp_path / "model", "siglip")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="pickles are not read"):
        encoder_spec("transformers", "cpu", str(folder))


@pytest.mark.parametrize("source", [None, "/no/such/folder", "google/medsiglip-448"])
def test_weights_must_be_named_and_pinned(source):
    with pytest.raises(InputError, match=r"encoder\.source: a folder"):
        encoder_spec("transformers", "cpu", source)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "millions"), [("clip", 151.3), ("siglip", 203.2)])
def test_true_architectures(tmp_path, kind, millions):
    """openai/clip-vit-base-patch32 and google/siglip-base-patch16-224: transformers' default configurations."""
    words = [*WORDS, *(f"word{i}" for i in range((49408 if kind == "clip" else 32000) - len(WORDS) - 3))]
    image = {"size": {"shortest_edge": 224}} if kind == "clip" else {"size": {"height": 224, "width": 224}}
    write(tmp_path / kind, kind, {}, {}, image, words)
    encoder = load_encoder("transformers", "cpu", str(tmp_path / kind))
    assert round(sum(p.numel() for p in encoder.towers.model.parameters()) / 1e6, 1) == millions
    check(encoder, tmp_path / kind)
