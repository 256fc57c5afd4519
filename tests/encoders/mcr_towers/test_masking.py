"""What is seen and what is hidden add up, and a tower computes nothing for what is hidden."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.drawn_pairs import make_pairs, make_vocabulary, small

from mcmfh.encoders.mcr_towers.masking import mask_patches, mask_tokens
from mcmfh.encoders.mcr_towers.model import Mcr
from mcmfh.pretraining.trainee import Trainee


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 40), st.floats(0, 0.99), st.integers(0, 99))
def test_tokens_seen_and_hidden_are_the_tokens(rows, places, ratio, seed):
    rng = np.random.default_rng(seed)
    length = rng.integers(1, places + 1, rows)
    present = np.arange(places) < length[:, None]
    fixed = present & (rng.random((rows, places)) < 0.2)
    noise = rng.random((rows, places), np.float32)
    mask = mask_tokens(*map(torch.from_numpy, (noise, present, fixed)), ratio)
    for i in range(rows):
        seen = mask.index_BU[i][mask.valid_BU[i]].numpy()
        hidden = mask.hidden_BL[i].nonzero().numpy().ravel()
        assert sorted([*seen, *hidden]) == list(range(length[i]))
        free = [j for j in range(length[i]) if not fixed[i, j]]
        keep = min(len(free), max(1, round(len(free) * (1 - ratio))))
        loudest = sorted(free, key=lambda j: noise[i, j])[keep:]
        assert sorted(hidden) == sorted(loudest)


def test_a_quarter_of_the_patches_is_all_that_the_tower_computes():
    """The FLOPs of a step are those of the visible places, and hidden pixels cannot change what it gives."""
    from torch.utils.flop_counter import FlopCounterMode

    model = Mcr(small().towers, len(make_vocabulary())).eval()
    pixels, _ = make_pairs(4).tensors("cpu")
    patches = model.image_tower.patches(pixels)
    flops, views = [], []
    for ratio in (0.0, 0.75):
        mask = mask_patches(torch.rand(4, 16, generator=torch.Generator().manual_seed(0)), ratio)
        with FlopCounterMode(display=False) as counter:
            views.append(model.image_tower(patches, mask))
        flops.append(counter.get_total_flops())
    assert views[1].shape == (4, 4, model.image_tower.width)
    assert flops[1] < 0.26 * flops[0]
    changed = patches + mask.hidden_BL[..., None] * 7.0
    assert torch.equal(model.image_tower(changed, mask), views[1])


def test_patches_are_those_of_a_convolution():
    model = Mcr(small().towers, len(make_vocabulary()))
    pixels, _ = make_pairs(2).tensors("cpu")
    patches = model.image_tower.patches(pixels)
    image = (pixels.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25
    expected = model.image_tower.vit.patch_embed(image)
    proj = model.image_tower.vit.patch_embed.proj
    assert torch.allclose(patches @ proj.weight.flatten(1).T + proj.bias, expected, atol=1e-5)


def test_special_tokens_are_never_hidden():
    trainee = Trainee(small(), make_vocabulary())
    pixels, tokens = make_pairs(8).tensors("cpu")
    _, mask = trainee.masks(tokens, torch.rand(8, 16), torch.rand(tokens.shape))
    assert not (mask.hidden_BL & (tokens < 5)).any()
    assert mask.hidden_BL.any(1).all()
