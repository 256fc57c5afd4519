"""Image or report → embedding. `encoder_spec` is cheap, `load_encoder` loads the towers."""

from importlib import import_module
from typing import TYPE_CHECKING

from mcmfh.encoders.preprocessing import ImagePreprocessing
from mcmfh.encoders.spec import EncoderSpec
from mcmfh.errors import InputError
from mcmfh.processes import keep_freed_memory

if TYPE_CHECKING:
    from mcmfh.encoders.base import Encoder

__all__ = ["ENCODERS", "EncoderSpec", "ImagePreprocessing", "encoder_spec", "load_encoder"]

ENCODERS = ("packaged", "biomedclip", "mcr", "precomputed")


def _module(name: str):
    if name not in ENCODERS:
        raise InputError(f"encoder '{name}' is not known; use {', '.join(ENCODERS)}")
    return import_module(f"mcmfh.encoders.{name}")


def encoder_spec(name: str, device: str, source: str | None = None) -> EncoderSpec:
    """The identity of encoder `name` on `device` ("cpu" | "cuda").

    `source`: the files of biomedclip (folder or pinned hub id), mcr or precomputed (URI); packaged has none.
    Raises InputError for an unknown name or missing files.
    """
    return _module(name).spec(device, source)


def load_encoder(name: str, device: str, source: str | None = None) -> "Encoder":
    """Encoder `name` with its weights, on `device`; `source` as in `encoder_spec`. Raises InputError likewise."""
    keep_freed_memory()
    return _module(name).load(device, source)
