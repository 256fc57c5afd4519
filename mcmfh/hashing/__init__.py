"""MCMFH in torch: embeddings → compact codes. Usable without Ray."""

from mcmfh.hashing.bundle import Bundle, load_bundle
from mcmfh.hashing.settings import TrainSettings

__all__ = ["Bundle", "TrainSettings", "load_bundle"]
