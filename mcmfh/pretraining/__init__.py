"""MCR in torch: trains two towers that embed images and reports, on an archive's own pairs. Usable without Ray."""

from mcmfh.encoders.mcr_towers.settings import TowerSettings
from mcmfh.pretraining.settings import PretrainSettings

__all__ = ["PretrainSettings", "TowerSettings"]
