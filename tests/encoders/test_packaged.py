"""The packaged encoder with its real weights: what enters the digest, and what must not change an embedding."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcmfh.encoders import ImagePreprocessing, encoder_spec, load_encoder
from mcmfh.errors import InputError

REPORTS = [
    "No acute cardiopulmonary abnormality.",
    "Large right pleural effusion with compressive atelectasis.",
    "Unremarkable. " * 40,
    "Fracture of the distal radius. " * 12,
]


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("packaged", "cpu")


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 224, 224, 3), np.uint8)


def test_embeddings_have_the_promised_widths(encoder):
    assert encoder.encode_images(pictures(3)).shape == (3, 1280)
    assert encoder.encode_reports(REPORTS).shape == (4, 384)
    assert encoder.encode_images(pictures(0)).shape == (0, 1280)
    assert encoder.encode_reports([]).shape == (0, 384)


def test_fixed_batches_are_bit_identical_whatever_the_company(encoder):
    images = pictures(5)
    alone = np.concatenate([encoder.encode_images(images[i : i + 1], fixed_batch=4) for i in range(5)])
    assert np.array_equal(alone, encoder.encode_images(images, fixed_batch=4))
    order = [2, 0, 3, 1]
    alone = np.concatenate([encoder.encode_reports([text], fixed_batch=4) for text in REPORTS])
    assert np.array_equal(alone[order], encoder.encode_reports([REPORTS[i] for i in order], fixed_batch=4))


def test_padding_changes_a_report_only_in_the_last_bits(encoder):
    together = encoder.encode_reports(REPORTS)
    apart = np.concatenate([encoder.encode_reports([text]) for text in REPORTS])
    assert np.abs(together - apart).max() < 1e-5


def test_similar_reports_are_near(encoder):
    a, b, c = encoder.encode_reports(["a fractured wrist", "broken wrist bone", "normal heart size"])

    def cosine(x, y):
        return x @ y / np.linalg.norm(x) / np.linalg.norm(y)

    assert cosine(a, b) > cosine(a, c) + 0.2


def test_the_classifier_of_the_package_is_reproduced():
    """The copy in state-dict order is right: features of a picture and its mirror image stay close, of noise do not."""
    encoder = load_encoder("packaged", "cpu")
    gradient = np.tile(np.linspace(0, 255, 224).astype(np.uint8)[None, :, None], (224, 1, 3))
    disc = gradient.copy()
    disc[60:160, 60:160] = 255
    features = encoder.encode_images(np.stack([disc, disc[::-1], pictures(1)[0]]))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    assert features[0] @ features[1] > features[0] @ features[2] + 0.2


def test_digest_depends_on_device_and_versions(monkeypatch):
    cpu, cuda = encoder_spec("packaged", "cpu"), encoder_spec("packaged", "cuda")
    assert cpu.digest == encoder_spec("packaged", "cpu").digest
    assert cpu.digest != cuda.digest
    monkeypatch.setattr("mcmfh.encoders.spec.version", lambda name: "0.0")
    assert encoder_spec("packaged", "cpu").digest != cpu.digest


def test_bfloat16_is_another_encoder_of_nearly_the_same_embeddings(encoder):
    other = load_encoder("packaged", "cpu", dtype="bfloat16")
    assert other.spec.digest == encoder_spec("packaged", "cpu", dtype="bfloat16").digest != encoder.spec.digest
    assert encoder.spec.digest == encoder_spec("packaged", "cpu", dtype="float32").digest
    for encode, inputs in (("encode_images", pictures(4)), ("encode_reports", REPORTS)):
        exact, rounded = (getattr(each, encode)(inputs, 4) for each in (encoder, other))
        assert rounded.dtype == np.float32
        assert not np.array_equal(exact, rounded)
        cosine = (exact * rounded).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(rounded, axis=1)
        assert cosine.min() > 0.99


def test_loading_prints_nothing():
    load = "from mcmfh.encoders.packaged import report_network; report_network()"
    environment = {"PYTHONPATH": str(Path(__file__).parents[2])}  # of a process that does not connect to Ray
    done = subprocess.run([sys.executable, "-c", load], env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_unknown_encoder_is_named():
    with pytest.raises(InputError, match="nonesuch"):
        encoder_spec("nonesuch", "cpu")


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
@pytest.mark.parametrize("shape", [(300, 100), (100, 300), (224, 224), (40, 500)])
def test_preprocessing_gives_a_square_of_any_picture(fit, shape):
    for mode in ("L", "RGB"):
        square = ImagePreprocessing(64, fit)(Image.new(mode, shape, 128 if mode == "L" else (128, 128, 128)))
        assert square.shape == (64, 64, 3)
        assert square.dtype == np.uint8
        assert square[32, 32].tolist() == [128, 128, 128]
