"""Joint ITQ: a closed-form hash of paired embeddings, in seconds and without labels or gradient steps.

CCA maps both modalities to one space. Its first K directions are rotated so that taking signs loses least (ITQ, Gong
et al., TPAMI 2013; image and report rows stacked). The result is one affine map per modality and K.
Shapes: N items · D embedding width · K bits.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mcmfh.archive.modality import MODALITIES
from mcmfh.hashing.model import Logits, Standardise, fit_standard
from mcmfh.hashing.spread import spread
from mcmfh.hashing.teachers import ridge_cca, unit


def rotation(x_NK: np.ndarray, seed: int, iterations: int = 50) -> np.ndarray:
    """[K, K] orthogonal R that brings the rows of x·R close to their signs."""
    k = x_NK.shape[1]
    r_KK = np.linalg.qr(np.random.default_rng(seed).standard_normal((k, k)))[0]
    for _ in range(iterations):
        left, _, right = np.linalg.svd(x_NK.T @ np.where(x_NK @ r_KK > 0, 1.0, -1.0))
        r_KK = left @ right
    return r_KK


class LinearHash(nn.Module):
    """Standardise, then one linear layer per modality and K."""

    def __init__(self, image_width: int, report_width: int, bits: Sequence[int]):
        super().__init__()
        widths = {"image": image_width, "report": report_width}
        self.standardise = nn.ModuleDict({name: Standardise(width) for name, width in widths.items()})
        self.heads = nn.ModuleDict(
            {name: nn.ModuleDict({str(k): nn.Linear(width, k) for k in bits}) for name, width in widths.items()}
        )

    def head(self, modality: str) -> nn.ModuleDict:
        """The linear layers of one modality by K."""
        head = self.heads[modality]
        assert isinstance(head, nn.ModuleDict)
        return head

    def logits(self, image: Tensor | None = None, report: Tensor | None = None) -> dict[str, Logits]:
        """{"image" | "report": {K: float[B, K]}} of the inputs that are not None, each from its input alone."""
        given = {"image": image, "report": report}
        result: dict[str, Logits] = {}
        for name, x in given.items():
            if x is not None:
                y = self.standardise[name](x)
                result[name] = {int(k): layer(y) for k, layer in self.head(name).items()}
        return result


def fit_itq(image_ND: np.ndarray, report_ND: np.ndarray, bits: Sequence[int], seed: int) -> LinearHash:
    """Fit the hash of each K, with its own CCA directions and rotation, on embeddings as the encoder gives them."""
    model = LinearHash(image_ND.shape[1], report_ND.shape[1], bits)
    fit_standard(model.standardise, image_ND, report_ND)
    image, report = ((x - x.mean(0, dtype=np.float64)) / spread(x) for x in (image_ND, report_ND))
    cca = ridge_cca(image, report)
    for k in bits:
        maps = [side[:, :k] * cca.correlation[:k] for side in (cca.image, cca.report)]
        space = np.concatenate([unit(image @ maps[0]), unit(report @ maps[1])])
        r = rotation(space, seed)
        if len(r) < k:  # fewer canonical directions than bits: the other bits are signs of random mixtures of them
            r = np.concatenate([r, np.random.default_rng(seed).standard_normal((len(r), k - len(r)))], 1)
        for name, side in zip(MODALITIES, maps):
            layer = nn.Linear(len(side), k)
            layer.weight.data = torch.from_numpy((side @ r).T.astype(np.float32)).contiguous()
            layer.bias.data.zero_()
            model.head(name)[str(k)] = layer
    return model
