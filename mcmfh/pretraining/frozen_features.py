"""The packaged tower's frozen stages, applied once instead of in every epoch."""

import numpy as np

from mcmfh.encoders.mcr_towers.packaged_tower import PackagedImageTower
from mcmfh.pretraining.pairs import Pairs


def frozen_features(tower: PackagedImageTower, pairs: Pairs) -> Pairs:
    """The pairs with features float16[n, N, C] instead of pixels."""
    device = next(tower.parameters()).device
    maps = []
    for start in range(0, len(pairs), 16):
        maps.append(tower.patches(pairs[start : start + 16].tensors(device)[0]).half().cpu().numpy())
    return Pairs(np.concatenate(maps) if maps else pairs.pixels, pairs.tokens)
