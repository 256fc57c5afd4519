"""MCMFH in torch: embeddings → compact codes. Usable without Ray.

`load_bundle` and `Bundle` are imported when they are first asked for: reading a configuration must not cost torch.
"""

from typing import TYPE_CHECKING, Any

from mcmfh.hashing.settings import TrainSettings

if TYPE_CHECKING:
    from mcmfh.hashing.bundle import Bundle, load_bundle

__all__ = ["Bundle", "TrainSettings", "load_bundle"]


def __getattr__(name: str) -> Any:
    if name in ("Bundle", "load_bundle"):
        from mcmfh.hashing import bundle

        return getattr(bundle, name)
    raise AttributeError(f"module 'mcmfh.hashing' has no attribute '{name}'")
