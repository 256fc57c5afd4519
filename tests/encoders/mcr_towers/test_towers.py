"""Towers that start from weights of timm and open_clip give what those libraries give."""

import pytest
import safetensors.torch
import timm
import torch
from support.drawn_pairs import make_pairs

from mcmfh.encoders.mcr_towers.masking import all_present, see_all
from mcmfh.encoders.mcr_towers.settings import TowerSettings
from mcmfh.encoders.mcr_towers.towers import ImageTower
from mcmfh.errors import InputError
from mcmfh.pretraining.warm_start import start_image_tower

NAMED = TowerSettings(image_tower="vit_tiny_patch16_224", image_size=32, context=16)


def local_features(tower, pixels):
    patches = tower.patches(pixels)
    return tower(patches, see_all(all_present(patches)))


@pytest.mark.parametrize("prefix", ["", "visual.trunk."])
def test_a_named_tower_with_given_weights_is_timms_own(prefix, tmp_path):
    torch.manual_seed(0)
    reference = timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=0).eval()
    state = {prefix + name: x.contiguous() for name, x in reference.state_dict().items()}
    safetensors.torch.save_file(state, tmp_path / "weights.safetensors")
    tower = ImageTower(NAMED).eval()
    start_image_tower(tower, str(tmp_path / "weights.safetensors"))
    pixels, _ = make_pairs(2).tensors("cpu")
    mean, deviation = (torch.tensor(reference.pretrained_cfg[name]) * 255 for name in ("mean", "std"))
    image = ((pixels.float() - mean) / deviation).permute(0, 3, 1, 2)
    assert torch.allclose(local_features(tower, pixels), reference.forward_features(image)[:, 1:], atol=1e-4)


def test_positions_of_another_size_are_resized(tmp_path):
    reference = timm.create_model("vit_tiny_patch16_224", num_classes=0)
    safetensors.torch.save_file(reference.state_dict(), tmp_path / "weights.safetensors")
    tower = ImageTower(NAMED)
    start_image_tower(tower, str(tmp_path / "weights.safetensors"))
    assert tower.vit.pos_embed.shape == (1, 5, 192)


def test_weights_and_names_that_do_not_fit_are_refused(tmp_path):
    safetensors.torch.save_file({"other": torch.zeros(1)}, tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("not at all")
    tower = ImageTower(NAMED)
    for name, reason in (("other", "lack"), ("text", "not safetensors"), ("none", "does not exist")):
        with pytest.raises(InputError, match=reason):
            start_image_tower(tower, str(tmp_path / f"{name}.safetensors"))
    for name, reason in (("no_such_vit", "not one of timm"), ("resnet18", "not a plain ViT|not one of timm")):
        with pytest.raises(InputError, match=reason):
            ImageTower(NAMED.model_copy(update={"image_tower": name}))
