"""What the towers' frozen stages say of pairs, computed once instead of in every epoch."""

from dataclasses import replace

import numpy as np
import torch

from mcmfh.encoders.mcr_towers.model import Mcr
from mcmfh.encoders.mcr_towers.packaged_tower import PackagedImageTower
from mcmfh.pretraining.pairs import Pairs

_PIXELS, _TOKENS = 16, 64  # pairs in a pass


def frozen_features(model: Mcr, pairs: Pairs) -> Pairs:
    """The pairs with what masks are laid over anyway: float16[n, N, C] instead of pixels, and words float16[n, L, W].

    Each of them only where the tower has such stages.
    """
    device, tower = next(model.parameters()).device, model.image_tower
    if model.settings.masked_space == "feature":
        assert isinstance(tower, PackagedImageTower)
        parts = (pairs[start : start + _PIXELS] for start in range(0, max(1, len(pairs)), _PIXELS))
        maps = [tower.patches(part.tensors(device)[0]).half().cpu().numpy() for part in parts]
        pairs = replace(pairs, pixels=np.concatenate(maps))
    if model.report_tower.frozen:
        words = np.zeros((*pairs.tokens.shape, model.report_tower.width), np.float16)
        for start in range(0, len(pairs), _TOKENS):
            part = pairs[start : start + _TOKENS]
            tokens = torch.from_numpy(part.tokens[:, : part.longest].astype(np.int64)).to(device)
            words[start : start + len(part), : part.longest] = model.report_tower.words(tokens).half().cpu().numpy()
        pairs = replace(pairs, words=words)
    return pairs
