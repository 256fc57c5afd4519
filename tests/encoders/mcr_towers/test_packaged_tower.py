"""Towers that start as the packaged encoder's give what it gives, see only what the mask shows, and keep their base."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from support.drawn_pairs import draw, guided, small

from mcmfh.encoders import load_encoder
from mcmfh.encoders.mcr_towers.bundle import save_towers
from mcmfh.encoders.mcr_towers.masking import all_present, mask_patches, mask_tokens, see_all
from mcmfh.encoders.mcr_towers.vocabulary import PAD, Vocabulary
from mcmfh.encoders.packaged import image_input, image_network, report_vocabulary
from mcmfh.pretraining.feed import from_memory
from mcmfh.pretraining.fitting import fit, make_optimizer
from mcmfh.pretraining.frozen_features import frozen_features
from mcmfh.pretraining.metrics import recall, reconstruction
from mcmfh.pretraining.pairs import Pairs
from mcmfh.pretraining.picture import attention_picture, reconstruction_picture
from mcmfh.pretraining.trainee import Trainee
from mcmfh.pretraining.warm_start import start_towers

PACKAGED = {"image_tower": "packaged", "report_tower": "packaged", "image_size": 96, "patch": 32, "batch_size": 8}


def vocabulary() -> Vocabulary:
    return Vocabulary(report_vocabulary(), 16)


def make_pairs(n: int, seed: int = 0) -> Pairs:
    pixels, reports = draw(n, seed)
    return Pairs(pixels.repeat(3, 1).repeat(3, 2), vocabulary().padded(reports))


def started(**more) -> Trainee:
    settings = small(**{**PACKAGED, **more})
    trainee = Trainee(settings, vocabulary())
    start_towers(trainee.model, settings)
    return trainee


@pytest.fixture(scope="module")
def first() -> Trainee:
    return started().eval()


def test_before_training_local_features_are_the_packaged_encoders(first):
    pairs = make_pairs(3)
    pixels, tokens = pairs.tensors("cpu")
    with torch.inference_mode():
        expected = image_network().forward_features(image_input(pixels)).flatten(2).transpose(1, 2)
        tower = first.model.image_tower
        patches = tower.patches(pixels)
        found = tower(patches, see_all(all_present(patches)))
        states = first.model.report_tower(tokens, see_all(tokens != PAD))
    torch.testing.assert_close(found, torch.nn.functional.layer_norm(expected, (1280,)), atol=1e-3, rtol=1e-3)
    pooled = [row[seen].mean(0).numpy() for row, seen in zip(states, tokens != PAD)]
    reports = [vocabulary().read(row) for row in pairs.tokens]
    np.testing.assert_allclose(pooled, load_encoder("packaged", "cpu").encode_reports(reports), atol=1e-4)


def test_what_is_hidden_has_no_influence(first):
    tower = first.model.image_tower
    with torch.inference_mode():
        patches = tower.patches(make_pairs(4).tensors("cpu")[0])
        mask = mask_patches(torch.rand(4, 9, generator=torch.Generator().manual_seed(0)), 0.6)
        other = patches.clone()
        other[mask.hidden_BL] = 7.0
        assert torch.equal(tower(patches, mask), tower(other, mask))
        assert tower(patches, mask).shape == (4, 4, 1280)
        other[mask.hidden_BL.logical_not()] += 1.0
        assert not torch.allclose(tower(patches, mask), tower(other, mask))


@pytest.mark.parametrize("ratio", [0.3, 0.6, 0.85])
@pytest.mark.parametrize("paint", [0, 128, 255, "noise"])
def test_masked_before_the_network_no_hidden_pixel_has_influence(ratio, paint):
    """Visible features of the tower that is masked in feature space do change: its frozen stages saw the cells."""
    pixels = make_pairs(4).tensors("cpu")[0]
    mask = mask_patches(torch.rand(4, 9, generator=torch.Generator().manual_seed(0)), ratio)
    hidden = mask.hidden_BL.view(4, 3, 3).repeat_interleave(32, 1).repeat_interleave(32, 2)
    painted, generator = pixels.clone(), torch.Generator().manual_seed(1)
    noise = torch.randint(0, 256, pixels.shape, generator=generator, dtype=torch.uint8)
    painted[hidden] = noise[hidden] if paint == "noise" else torch.tensor(paint, dtype=torch.uint8)
    with torch.inference_mode():
        for name, unmoved in (("packaged_pixels", True), ("packaged", False)):
            tower = started(image_tower=name).model.image_tower
            seen, other = (tower(tower.patches(x), mask) for x in (pixels, painted))
            assert torch.equal(seen, other) == unmoved, name
            assert seen.shape == (4, mask.index_BU.shape[1], 1280)


def test_masked_before_the_network_it_is_the_same_encoder_and_learns_pixels(first):
    """Unmasked both towers give the same; under a mask the decoder reconstructs pixels, and training can start."""
    pixels, _ = make_pairs(3).tensors("cpu")
    trainee = started(image_tower="packaged_pixels", epochs=1)
    with torch.inference_mode():
        towers = (first.model.image_tower, trainee.model.image_tower)
        whole = [tower(x, see_all(all_present(x))) for tower in towers for x in [tower.patches(pixels)]]
        torch.testing.assert_close(*whole, atol=1e-4, rtol=1e-4)
        cell = towers[1].patches(pixels)[1, 5].view(3, 32, 32)
    torch.testing.assert_close(cell, image_input(pixels)[1, :, 32:64, 64:96])
    settings = trainee.settings
    assert settings.masked_space == "pixel"
    assert first.settings.masked_space == "feature"
    fit(trainee, make_optimizer(trainee, settings), from_memory(make_pairs(16), settings), settings, 16)
    assert reconstruction(trainee, make_pairs(8))["patches"] > 0


def test_training_moves_the_last_stages_and_nothing_below(first):
    trainee = started(tower_learning_rate=1e-4, epochs=1)
    pairs = make_pairs(16)
    fit(trainee, make_optimizer(trainee, trainee.settings), from_memory(pairs, trainee.settings), trainee.settings, 16)
    before = first.state_dict()
    moved = {name for name, x in trainee.state_dict().items() if not torch.equal(x, before[name])}
    image = {name.split("net.")[1] for name in moved if "image_tower" in name}
    assert {name.split(".")[0] for name in image} == {"blocks", "conv_head", "bn2"}
    assert all(name.startswith("blocks.6.") for name in image if name.startswith("blocks"))
    assert not any("running" in name for name in image), "statistics came with the weights"
    report = {name for name in moved if "report_tower" in name}
    assert any("encoder.layer.0." in name for name in report)
    assert not any("embeddings" in name for name in report)


def test_towers_with_weights_learn_at_their_own_rate():
    trainee = started(tower_learning_rate=1e-5, learning_rate=1e-3)
    peak = {id(p): g["peak"] for g in make_optimizer(trainee, trainee.settings).param_groups for p in g["params"]}
    rates = {name: peak[id(p)] for name, p in trainee.named_parameters() if p.requires_grad}
    assert len(rates) == len(peak)
    assert {rate for name, rate in rates.items() if "_tower." in name} == {1e-5}
    assert {rate for name, rate in rates.items() if "_tower." not in name} == {1e-3}


def test_features_kept_in_memory_are_those_of_the_pictures(first):
    pairs = make_pairs(20)
    kept = frozen_features(first.model, pairs)
    assert kept.pixels.dtype == np.float16
    assert kept.pixels.shape == (20, 9, 192)
    for found, expected in zip(reconstruction(first, kept).values(), reconstruction(first, pairs).values()):
        assert found == pytest.approx(expected, rel=1e-2)
    assert recall(first.model, kept).keys() == recall(first.model, pairs).keys()


def test_a_frozen_report_tower_is_masked_behind_its_network_and_stays(first):
    """Its local features are those of the whole report, kept ones count as its own, and training moves none of it."""
    trainee = started(report_tower="packaged_frozen", epochs=1, targets="graded")
    pairs = guided(make_pairs(16))
    kept = frozen_features(trainee.model, pairs)
    assert kept.words.shape == (16, 16, 384)
    tokens = pairs.tensors("cpu")[1]
    present = tokens != PAD
    whole = trainee.model.report_tower(tokens, see_all(present))
    torch.testing.assert_close(whole, first.model.report_tower(tokens, see_all(present)))
    mask = mask_tokens(torch.rand(tokens.shape, generator=torch.Generator().manual_seed(0)), present, ~present, 0.5)
    torch.testing.assert_close(trainee.model.report_tower(tokens, mask), mask.take(whole))
    words = kept.more_tensors("cpu")["words_bLW"]
    torch.testing.assert_close(trainee.model.report_tower(tokens, mask, words), mask.take(whole), atol=1e-2, rtol=1e-2)
    settings = trainee.settings
    before = {name: x.clone() for name, x in trainee.state_dict().items()}
    fit(trainee, make_optimizer(trainee, settings), from_memory(kept, settings), settings, 16)
    moved = {name for name, x in trainee.state_dict().items() if not torch.equal(x, before[name])}
    assert not any("report_tower" in name for name in moved)
    assert any("report_aggregation" in name for name in moved)


def test_they_are_an_encoder_and_have_a_picture(first, tmp_path):
    encoder = load_encoder("mcr", "cpu", save_towers(str(tmp_path), first.model, vocabulary(), {}, {}))
    pairs = make_pairs(3)
    with torch.inference_mode():
        expected = first.model.embed_images(pairs.tensors("cpu")[0]).numpy()
    np.testing.assert_allclose(encoder.encode_images(pairs.pixels), expected, atol=1e-6)
    assert encoder.spec.preprocessing.size == 96
    assert attention_picture(first.model, pairs, vocabulary()) is not None
    assert reconstruction_picture(first, pairs) is None, "features have no brightness to show"


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [
        ({"patch": 16}, "set patch=32"),
        ({"image_weights": "x"}, "take out image_weights"),
        ({"image_tower": "packaged_pixels", "patch": 16}, "set patch=32"),
        ({"image_tower": "packaged_pixels", "image_weights": "x"}, "take out image_weights"),
        ({"vocabulary": "x"}, "take out vocabulary"),
    ],
    ids=str,
)
def test_contradictions_are_named(wrong, remedy):
    with pytest.raises(ValidationError, match=remedy):
        small(**{**PACKAGED, **wrong})


def test_of_no_pair_frozen_stages_give_arrays_of_the_same_kind():
    """As of a block of a stream in which nothing can be read."""
    trainee = started(report_tower="packaged_frozen")
    some, none = (frozen_features(trainee.model, guided(make_pairs(4))[:n]).arrays() for n in (4, 0))
    assert {k: (x.dtype, x.shape[1:]) for k, x in some.items()} == {k: (x.dtype, x.shape[1:]) for k, x in none.items()}
    assert {len(x) for x in none.values()} == {0}
