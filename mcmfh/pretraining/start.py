"""An image tower that starts from somebody's weights: a safetensors file of timm, or of a whole open_clip model."""

import safetensors.torch
from safetensors import SafetensorError

from mcmfh import storage
from mcmfh.errors import InputError
from mcmfh.pretraining.towers import ImageTower


def start_image_tower(tower: ImageTower, uri: str) -> None:
    """Load the weights at `uri`; positions are resized to the tower's grid. Raises InputError where they do not fit."""
    from timm.models.vision_transformer import checkpoint_filter_fn

    try:
        state = safetensors.torch.load(storage.read(storage.absolute(uri)))
    except FileNotFoundError as error:
        raise InputError(f"pretrain.image_weights '{uri}' does not exist; give a safetensors file's URI") from error
    except SafetensorError as error:
        raise InputError(f"pretrain.image_weights '{uri}' is not safetensors ({error}); convert it") from error
    vit = tower.vit
    try:
        state = checkpoint_filter_fn(state, vit)  # knows timm's names, open_clip's, and open_clip around timm's
        own = vit.state_dict()
        missing = sorted(own.keys() - state.keys())
        if not missing:
            vit.load_state_dict({name: state[name] for name in own})
    except (RuntimeError, KeyError) as error:
        raise InputError(f"pretrain.image_weights '{uri}' do not fit the image tower ({error})") from error
    if missing:
        raise InputError(f"pretrain.image_weights '{uri}' lack {missing[0]}; name their pretrain.image_tower")
