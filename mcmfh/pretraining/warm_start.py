"""Warm start of towers: from a file of timm or open_clip, or from the packaged encoder's weights."""

import safetensors.torch
from safetensors import SafetensorError
from torch import nn

from mcmfh.encoders.mcr_towers.model import Mcr
from mcmfh.encoders.mcr_towers.packaged_tower import PackagedImageTower
from mcmfh.encoders.mcr_towers.settings import PACKAGED_TOWERS
from mcmfh.encoders.mcr_towers.towers import ImageTower
from mcmfh.encoders.packaged import image_network, report_network, weights_digest
from mcmfh.errors import InputError
from mcmfh.pretraining.settings import PretrainSettings
from mcmfh.store import files


def warm_started_towers(model: Mcr, settings: PretrainSettings) -> list[nn.Module]:
    """The towers that do not start from random weights."""
    image = settings.image_weights or settings.image_tower in PACKAGED_TOWERS
    return [*([model.image_tower] if image else []), *([model.report_tower] if settings.report_tower else [])]


def start_towers(model: Mcr, settings: PretrainSettings) -> None:
    """Load the weights that `settings` name. Raises InputError where they are missing or do not fit."""
    if isinstance(model.image_tower, PackagedImageTower):
        model.image_tower.net.load_state_dict(image_network().state_dict())
    elif settings.image_weights:
        start_image_tower(model.image_tower, settings.image_weights)
    if settings.report_tower:
        state = report_network().state_dict()
        model.report_tower.bert.load_state_dict({name: state[name] for name in model.report_tower.bert.state_dict()})


def weight_versions(settings: PretrainSettings) -> dict[str, str]:
    """The versions of the weights that a run starts from: a run's fingerprint depends on them."""
    versions = {}
    if settings.image_tower in PACKAGED_TOWERS or settings.report_tower:
        versions["packaged"] = weights_digest()
    if settings.image_weights and files.exists(settings.image_weights):
        versions["image_weights"] = files.version(files.absolute(settings.image_weights))
    return versions


def start_image_tower(tower: ImageTower, uri: str) -> None:
    """Load the weights at `uri`; positions are resized to the tower's grid. Raises InputError where they do not fit."""
    from timm.models.vision_transformer import checkpoint_filter_fn

    try:
        state = safetensors.torch.load(files.read(files.absolute(uri)))
    except FileNotFoundError as error:
        raise InputError(f"pretrain.image_weights '{uri}' does not exist; give a safetensors file's URI") from error
    except SafetensorError as error:
        raise InputError(f"pretrain.image_weights '{uri}' is not safetensors ({error}); convert it") from error
    vit = tower.vit
    try:
        state = checkpoint_filter_fn(state, vit)  # accepts names of timm, of open_clip, and of timm within open_clip
        own = vit.state_dict()
        missing = sorted(own.keys() - state.keys())
        if not missing:
            vit.load_state_dict({name: state[name] for name in own})
    except (RuntimeError, KeyError) as error:
        raise InputError(f"pretrain.image_weights '{uri}' do not fit the image tower ({error})") from error
    if missing:
        raise InputError(f"pretrain.image_weights '{uri}' lack {missing[0]}; name their pretrain.image_tower")
