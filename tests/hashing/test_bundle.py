"""A bundle that was touched, moved, or meets another encoder is refused; an honest one gives its codes back."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.planted import SPEC, small

from mcmfh.encoders.base import Encoder
from mcmfh.errors import InputError
from mcmfh.hashing import bundle as bundles
from mcmfh.hashing import load_bundle
from mcmfh.hashing.bundle import FILES
from mcmfh.store import files
from mcmfh.training.mcmfh import train


@pytest.fixture(scope="module")
def bundle_uri(table, tmp_path_factory):
    return train(table, small("default"), SPEC, str(tmp_path_factory.mktemp("store")), "run").bundle_uri


@pytest.fixture
def copy(bundle_uri, tmp_path) -> Path:
    """A copy of the bundle, to be damaged."""
    folder = tmp_path / bundle_uri.rpartition("/")[2]
    folder.mkdir()
    for name in files.names(bundle_uri):
        (folder / name).write_bytes(files.read(files.join(bundle_uri, name)))
    return folder


def test_it_holds_six_files_and_gives_codes(bundle_uri, table):
    assert files.names(bundle_uri) == sorted([*FILES, "config.json"])
    model = load_bundle(bundle_uri)
    assert model.bits == (16, 32)
    assert bundle_uri.endswith(model.bundle_digest)
    codes = model.hash_embeddings(table.image, table.report, bits=32)
    assert {name: (x.shape, x.dtype) for name, x in codes.items()} == {
        "image": ((240, 4), np.uint8),
        "report": ((240, 4), np.uint8),
    }
    logits = model.logits(image=table.image)["image"]
    assert np.array_equal(model.hash_embeddings(image=table.image)["image"], np.packbits(logits > 0, 1, "little"))
    assert model.calibration["16"]["meaning"] == "relevant"
    scores = model.metrics["validation"]["16"]
    assert scores["image_to_report"]["R@10"] > 2 * scores["chance"]["R@10"]
    assert scores["report_to_image"]["mAP"] > scores["chance"]["mAP"]


@pytest.mark.parametrize("name", [*FILES, "config.json"])
@pytest.mark.parametrize("damage", ["changed", "cut", "missing"])
def test_every_damaged_file_is_noticed(name, damage, copy):
    data = (copy / name).read_bytes()
    if damage == "missing":
        (copy / name).unlink()
    else:
        middle = len(data) // 2
        changed = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        (copy / name).write_bytes(changed if damage == "changed" else data[:-1])
    with pytest.raises(InputError, match=r"bundle"):
        load_bundle(str(copy))


def test_config_rewritten_with_matching_digests_is_noticed(copy):
    config = json.loads((copy / "config.json").read_text())
    (copy / "metrics.json").write_text("{}")
    config["files"]["metrics.json"] = files.digest(b"{}")
    (copy / "config.json").write_bytes(files.canonical_json(config))
    with pytest.raises(InputError, match="folder's name"):
        load_bundle(str(copy))


def test_the_codes_of_the_same_weights_on_another_encoder_have_another_digest(bundle_uri):
    model = load_bundle(bundle_uri)
    weights = model.config["files"]["model.safetensors"]
    assert bundles.code_digest(SPEC.digest, weights, model.shape) == model.code_digest
    assert bundles.code_digest(replace(SPEC, weights="x").digest, weights, model.shape) != model.code_digest
    assert bundles.code_digest(SPEC.digest, weights, replace(model.shape, bits=(16,))) != model.code_digest


def test_unusable_inputs_are_refused_by_name(bundle_uri, table):
    model = load_bundle(bundle_uri)
    broken = table.image[:3].copy()
    broken[2, 0] = np.nan
    with pytest.raises(ValueError, match="row 2"):
        model.hash_embeddings(image=broken)
    with pytest.raises(InputError, match=r"takes \[B, 48\]"):
        model.hash_embeddings(image=table.report)
    with pytest.raises(InputError, match="not of 64"):
        model.hash_embeddings(image=table.image, bits=64)
    with pytest.raises(InputError, match="precomputed"):
        model.hash_reports(["an encoder that only ever gave embeddings"])


class DrawnTowers:
    """Towers that need no weights: brightness moments of a picture, letter counts of a text."""

    shift = 0.0

    def image_features(self, pixels_BHW3):
        flat = pixels_BHW3.float().flatten(1)
        return (flat[:, : 48 * 3136].unflatten(1, (48, 3136)).mean(2) - 90) / 40 + self.shift

    def tokenize(self, reports):
        return [[ord(letter) % 32 for letter in text[:200]] for text in reports]

    def report_features(self, tokens_BL, mask_BL):
        import torch

        return torch.nn.functional.one_hot(tokens_BL, 32).float().mul(mask_BL[..., None]).sum(1) / 4 + self.shift


@pytest.fixture
def drawn(table, tmp_path, monkeypatch):
    """(bundle URI, encoder) of a bundle with a canary through towers, which the test may then change."""
    spec = replace(SPEC, name="drawn")
    encoder = Encoder(spec, DrawnTowers())
    for module in ("bundle", "completion"):
        monkeypatch.setattr(f"mcmfh.hashing.{module}.load_encoder", lambda *_: encoder)
    monkeypatch.setattr(bundles, "encoder_spec", lambda *_: encoder.spec)
    return train(table, small("default"), spec, str(tmp_path), "run").bundle_uri, encoder


def with_identity(spec, **other):
    """The spec as it would be on another device or with other libraries; it goes on computing here."""
    changed = replace(spec)
    changed.__dict__["identity"] = {**spec.identity, **other}
    return changed


def test_the_same_encoder_hashes_pictures_and_texts(drawn):
    uri, _ = drawn
    model = load_bundle(uri)
    from mcmfh.hashing.canary import REPORTS, pictures

    assert model.hash_images(pictures()).shape == (4, 2)
    stored = model.canary["encoder"]["codes"]["report"]["32"]
    assert [code.tobytes().hex() for code in model.hash_reports(list(REPORTS), bits=32)] == stored


def test_other_library_versions_pass_if_the_canary_does(drawn):
    uri, encoder = drawn
    encoder.spec = with_identity(encoder.spec, libraries={"torch": "99"})
    assert load_bundle(uri).hash_reports(["clear lungs"]).shape == (1, 2)


def test_other_library_versions_with_other_codes_are_refused(drawn):
    uri, encoder = drawn
    encoder.spec = with_identity(encoder.spec, libraries={"torch": "99"})
    encoder.towers.shift = 9.0
    with pytest.raises(InputError, match=r"canary other codes.*torch.*99"):
        load_bundle(uri).hash_reports(["clear lungs"])


def test_the_other_kind_of_device_passes_if_the_canary_does(drawn):
    """As on a machine without a GPU, for a model whose archive was embedded on one."""
    uri, encoder = drawn
    encoder.spec = with_identity(encoder.spec, device="cuda", batch_size=128)
    assert load_bundle(uri).hash_reports(["clear lungs"]).shape == (1, 2)


def test_the_other_kind_of_device_with_other_codes_is_refused(drawn):
    uri, encoder = drawn
    encoder.spec = with_identity(encoder.spec, device="cuda", batch_size=128)
    encoder.towers.shift = 9.0
    with pytest.raises(InputError, match=r"canary other codes.*device cpu → cuda"):
        load_bundle(uri).hash_reports(["clear lungs"])


@pytest.mark.parametrize("change", [{"weights": "other"}, {"dtype": "bfloat16"}, {"architecture": "other"}])
def test_another_encoder_is_refused_whatever_its_canary(drawn, change):
    uri, encoder = drawn
    encoder.spec = replace(encoder.spec, **change)
    with pytest.raises(InputError, match=next(iter(change))):
        load_bundle(uri).hash_reports(["clear lungs"])
