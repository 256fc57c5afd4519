"""A hash in closed form: kernel ridge regression of a guide on each modality, then one rotation whose signs are codes.

    x → standardise → random Fourier features → linear (ridge) → unit length → linear of each K, shared by modalities

The features approximate a Gaussian kernel, exp(−width·|x − y|² / D) (Rahimi & Recht 2007). What is regressed is a guide
(see guides.py) or the labels. Both modalities predict the same vectors, so that one centre, one PCA and one ITQ
rotation serve both. There is no gradient step.
Shapes: B batch · N train pairs · D embedding width · F features · G guide width · K bits.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mcmfh.archive.modality import MODALITIES
from mcmfh.hashing.itq import rotation
from mcmfh.hashing.model import Logits, Standardise, fit_standard
from mcmfh.hashing.settings import ModelSettings
from mcmfh.hashing.starts import best_start
from mcmfh.hashing.teachers import unit

Features = Callable[[np.ndarray], np.ndarray]  # float32[N, D] → float32[N, F]

# Rows whose features are in memory at a time.
_BLOCK = 4096


class FourierFeatures(nn.Module):
    """√(2/F)·cos(x·W + b): inner products approximate the kernel. W and b are drawn once and stored."""

    weight_DF: Tensor
    phase_F: Tensor

    def __init__(self, width: int, features: int, kernel_width: float, seed: int):
        super().__init__()
        rng = np.random.default_rng(seed)
        weight = rng.standard_normal((width, features), np.float32) * np.float32(np.sqrt(2 * kernel_width / width))
        self.register_buffer("weight_DF", torch.from_numpy(weight))
        self.register_buffer("phase_F", torch.from_numpy(rng.uniform(0, 2 * np.pi, features).astype(np.float32)))

    def forward(self, x_BD: Tensor) -> Tensor:
        scale: float = (2 / len(self.phase_F)) ** 0.5
        return (x_BD @ self.weight_DF + self.phase_F).cos() * scale


class KernelHash(nn.Module):
    """The whole model. `guide_width` G is that of the vectors which both modalities predict."""

    def __init__(self, settings: ModelSettings, image_width: int, report_width: int, bits: Sequence[int], seed: int):
        super().__init__()
        widths = {"image": image_width, "report": report_width}
        shape = settings.features, settings.kernel_width
        self.standardise = nn.ModuleDict({name: Standardise(width) for name, width in widths.items()})
        self.features = nn.ModuleDict(
            {name: FourierFeatures(width, *shape, 2 * seed + i) for i, (name, width) in enumerate(widths.items())}
        )
        g = settings.guide_width
        self.student = nn.ModuleDict({name: nn.Linear(settings.features, g) for name in widths})
        self.heads = nn.ModuleDict({str(k): nn.Linear(g, k) for k in bits})

    def predict(self, modality: str, x_BD: Tensor) -> Tensor:
        """float[B, G] unit rows: the guide as this modality alone predicts it."""
        features_BF = self.features[modality](self.standardise[modality](x_BD))
        return functional.normalize(self.student[modality](features_BF))

    def logits(self, image: Tensor | None = None, report: Tensor | None = None) -> dict[str, Logits]:
        """{"image" | "report": {K: float[B, K]}} of the inputs that are not None, each from its input alone."""
        given = {"image": image, "report": report}
        result: dict[str, Logits] = {}
        for name, x in given.items():
            if x is not None:
                predicted = self.predict(name, x)
                result[name] = {int(k): layer(predicted) for k, layer in self.heads.items()}
        return result


@torch.no_grad()
def fit_kernel_hash(
    model: KernelHash,
    image: np.ndarray,
    report: np.ndarray,
    guide: np.ndarray,
    ridge: float,
    seed: int,
    folds: np.ndarray,
    spread_as_held_out: bool = False,
) -> KernelHash:
    """Fit `model` in place on train pairs, image float32[N, D_I] and report float32[N, D_T] as the encoder gives them.

    guide: float32[N, G], centred; ridge: as a share of N; folds: int[N]. The rotation is fitted to what both modalities
    predict for the train pairs, and chosen among several by what regressions without a pair's own fold predict for it
    (see starts.py). With `spread_as_held_out` it is fitted to the latter too: labels spread wider on pairs that the
    regression was fitted to than on others.
    """
    fit_standard(model.standardise, image, report)
    predicted, held_out = [], []
    for name, x in zip(MODALITIES, (image, report)):
        mean, weight, without_fold = kernel_ridge(partial(_features, model, name), x, guide, ridge, folds)
        layer = model.student[name]
        assert isinstance(layer, nn.Linear)
        assert without_fold is not None
        layer.weight.copy_(torch.from_numpy(weight.T.astype(np.float32)))
        layer.bias.copy_(torch.from_numpy(-(mean @ weight).astype(np.float32)))
        held_out.append(unit(without_fold).astype(np.float64))
        parts = [model.predict(name, torch.from_numpy(x[rows])).numpy() for rows in _blocks(len(x))]
        predicted.append(np.concatenate(parts).astype(np.float64))
    _fit_rotation(model.heads, np.concatenate(held_out if spread_as_held_out else predicted), held_out, seed)
    return model


def kernel_ridge(
    features: Features, x: np.ndarray, target: np.ndarray, ridge: float, folds: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """(mean float64[F], weight float64[F, G], held-out predictions float32[N, G]; None without `folds`).

    The ridge regression of target float[N, G], centred, on `features` of x float32[N, D]; a prediction is
    (features − mean) · weight. Memory grows with F², not with N.
    """
    n = len(x)
    mean = np.asarray(sum(features(x[rows]).sum(0, dtype=np.float64) for rows in _blocks(n)) / n)
    gram, product = np.zeros((len(mean), len(mean))), np.zeros((len(mean), target.shape[1]))
    for rows in _blocks(n):
        centred = features(x[rows]) - mean.astype(np.float32)
        gram += centred.T @ centred
        product += centred.T @ target[rows]
    gram[np.diag_indices(len(gram))] += ridge * n
    factor = torch.linalg.cholesky(torch.from_numpy(gram))
    weight = torch.cholesky_solve(torch.from_numpy(product), factor).numpy()
    if folds is None:
        return mean, weight, None
    held_out = np.empty(target.shape, np.float32)
    for fold in np.unique(folds):
        # What the regression without these rows would predict follows from the one with them, by their block of its hat
        # matrix: y − ŷ₋ = (I − H)⁻¹ (y − ŷ), as for leaving out one row.
        out = np.flatnonzero(folds == fold)
        centred = (features(x[out]) - mean).astype(np.float64)
        hat = centred @ torch.cholesky_solve(torch.from_numpy(centred.T.copy()), factor).numpy()
        residual = target[out] - centred @ weight
        held_out[out] = target[out] - np.linalg.solve(np.eye(len(out)) - hat, residual)
    return mean, weight, held_out


def group_folds(group: np.ndarray, seed: int, least: int = 5, rows: int = 1024) -> np.ndarray:
    """int[N]: a fold for each row, in which its whole group str[N] stands; `least` folds, or more of about `rows`."""
    _, of_row = np.unique(group, return_inverse=True)
    count = max(least, -(-len(group) // rows))
    folds: np.ndarray = (np.random.default_rng(seed).permutation(of_row.max() + 1) % count)[of_row]
    return folds


def _fit_rotation(heads: nn.ModuleDict, space: np.ndarray, held_out: Sequence[np.ndarray], seed: int) -> None:
    """Set each K's head to the principal axes of `space` float64[·, G], turned by ITQ."""
    centre = space.mean(0)
    _, axes = np.linalg.eigh((space - centre).T @ (space - centre))
    for k, head in heads.items():
        assert isinstance(head, nn.Linear)
        principal = axes[:, ::-1][:, : int(k)]
        weight = best_start(partial(_turned, (space - centre) @ principal, principal, int(k)), held_out, centre, seed)
        head.weight.copy_(torch.from_numpy(weight.T.astype(np.float32)))
        head.bias.copy_(torch.from_numpy(-(centre @ weight).astype(np.float32)))


def _turned(rows: np.ndarray, principal: np.ndarray, k: int, seed: int) -> np.ndarray:
    """float64[G, K]: the axes [G, ≤ K] turned by the ITQ rotation of the rows [·, ≤ K] that lie on them."""
    turn = rotation(rows, seed)
    if len(turn) < k:  # a guide narrower than the code: the other bits are signs of random mixtures of it
        more = np.random.default_rng(seed).standard_normal((len(turn), k - len(turn)))
        turn = np.concatenate([turn, more], 1)
    turned: np.ndarray = principal @ turn
    return turned


def _features(model: KernelHash, modality: str, x: np.ndarray) -> np.ndarray:
    features: np.ndarray = model.features[modality](model.standardise[modality](torch.from_numpy(x))).numpy()
    return features


def _blocks(rows: int) -> Iterator[slice]:
    return (slice(start, start + _BLOCK) for start in range(0, rows, _BLOCK))
