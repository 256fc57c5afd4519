"""Encoders: image or report → embedding. `encoder_spec` only reads files; `load_encoder` builds the networks."""

from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mcmfh.encoders.preprocessing import ImagePreprocessing
from mcmfh.encoders.spec import EncoderSpec
from mcmfh.errors import InputError
from mcmfh.processes import keep_freed_memory

if TYPE_CHECKING:
    from mcmfh.encoders.base import Encoder

__all__ = ["ENCODERS", "EncoderSpec", "ImagePreprocessing", "encoder_spec", "load_encoder"]

ENCODERS = ("packaged", "biomedclip", "open_clip", "transformers", "mcr", "lexical", "precomputed")


def _module(name: str) -> Any:
    if name not in ENCODERS:
        raise InputError(f"encoder '{name}' is not known; use {', '.join(ENCODERS)}")
    return import_module(f"mcmfh.encoders.{name}")


def encoder_spec(name: str, device: str, source: str | None = None, dtype: str = "float32") -> EncoderSpec:
    """The identity of encoder `name` on `device` ("cpu" | "cuda"), computing in `dtype` ("float32" | "bfloat16").

    `source`: a folder or a pinned hub id for biomedclip, open_clip and transformers, a URI for mcr, lexical and
    precomputed, None for packaged. Raises InputError for an unknown name or missing files.
    """
    spec: EncoderSpec = _module(name).spec(device, source)
    if dtype != spec.dtype and name == "precomputed":
        raise InputError(f"encoder 'precomputed' computes nothing; take out encoder.dtype {dtype}")
    return replace(spec, dtype=dtype)


def load_encoder(name: str, device: str, source: str | None = None, dtype: str = "float32") -> "Encoder":
    """Encoder `name` with its weights, on `device`; parameters and errors as in `encoder_spec`."""
    keep_freed_memory()
    encoder: Encoder = _module(name).load(device, source)
    encoder.spec = replace(encoder.spec, dtype=dtype)
    return encoder
