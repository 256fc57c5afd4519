"""MCR in torch: an archive's own images and reports → a pair of towers that embeds both. Usable without Ray."""

from mcmfh.pretraining.settings import PretrainSettings, TowerSettings

__all__ = ["PretrainSettings", "TowerSettings"]
