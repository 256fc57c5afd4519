"""Image or report → embedding. `encoder_spec` is cheap, `load_encoder` loads the towers."""

from mcmfh.encoders.base import Encoder, EncoderSpec
from mcmfh.encoders.preprocessing import ImagePreprocessing
from mcmfh.errors import InputError

__all__ = ["Encoder", "EncoderSpec", "ImagePreprocessing", "encoder_spec", "load_encoder"]


def _module(name: str):
    if name == "packaged":
        from mcmfh.encoders import packaged as module
    else:
        raise InputError(f"encoder '{name}' is not known; use packaged")
    return module


def encoder_spec(name: str, device: str) -> EncoderSpec:
    """The identity of encoder `name` on `device` ("cpu" | "cuda"). Raises InputError for an unknown name."""
    return _module(name).spec(device)


def load_encoder(name: str, device: str) -> Encoder:
    """Encoder `name` with its weights, on `device`. Raises InputError for an unknown name or missing weights."""
    return _module(name).load(device)
