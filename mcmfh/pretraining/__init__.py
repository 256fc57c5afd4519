"""MCR in torch: an archive's own images and reports → a pair of towers that embeds both. Usable without Ray."""

from mcmfh.encoders.mcr_towers.settings import TowerSettings
from mcmfh.pretraining.settings import PretrainSettings

__all__ = ["PretrainSettings", "TowerSettings"]
