"""Pretrained towers are an encoder like any other, pinned by their digest."""

import numpy as np
import pytest
import torch
from support.drawn_pairs import draw, make_vocabulary, small

from mcmfh.encoders import encoder_spec, load_encoder
from mcmfh.encoders.mcr_towers.bundle import FILES, load_towers, save_towers
from mcmfh.encoders.mcr_towers.model import Mcr
from mcmfh.errors import InputError
from mcmfh.store import files


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> str:
    return save_towers(str(tmp_path_factory.mktemp("store")), make_model(), make_vocabulary(), {}, {"pairs": 0})


def make_model(seed: int = 0) -> Mcr:
    return Mcr(small().towers, len(make_vocabulary()), seed).eval()


def test_round_trip_and_one_digest_for_one_thing(source):
    model, vocabulary = load_towers(source)
    assert vocabulary.text == make_vocabulary().text
    assert all(torch.equal(x, y) for x, y in zip(model.state_dict().values(), make_model().state_dict().values()))
    root = files.parent(source)
    assert save_towers(root, make_model(), make_vocabulary(), {}, {"pairs": 0}) == source
    other = save_towers(root, make_model(1), make_vocabulary(), {}, {"pairs": 0})
    assert encoder_spec("mcr", "cpu", other).digest != encoder_spec("mcr", "cpu", source).digest


def test_it_embeds_both_sides_whatever_the_company(source):
    encoder = load_encoder("mcr", "cpu", source)
    pixels, reports = draw(10)
    reports[3] += " It is long." * 30
    for encode, inputs in ((encoder.encode_images, pixels), (encoder.encode_reports, reports)):
        together = encode(inputs)
        np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
        for i in (0, 3, 9):
            np.testing.assert_allclose(encode(inputs[i : i + 1])[0], together[i], atol=2e-6)
        fixed = encode(inputs, fixed_batch=4)
        assert np.array_equal(fixed[::-1], encode(inputs[::-1], fixed_batch=4))
    assert encoder.spec.image_width == encoder.spec.report_width == 32
    assert encoder.spec.preprocessing.size == 32


@pytest.mark.parametrize("name", [*FILES, "config.json"])
@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_every_damaged_file_is_noticed(name, damage, source, tmp_path):
    copy = tmp_path / source.rpartition("/")[2]
    copy.mkdir()
    for each in files.names(source):
        data = files.read(files.join(source, each))
        if each != name:
            (copy / each).write_bytes(data)
        elif damage == "changed":
            (copy / each).write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
    with pytest.raises(InputError, match="towers"):
        load_encoder("mcr", "cpu", str(copy))


def test_a_source_must_be_named():
    with pytest.raises(InputError, match=r"encoder\.source"):
        encoder_spec("mcr", "cpu")
