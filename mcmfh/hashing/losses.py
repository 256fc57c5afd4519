"""The objective: soft contrast between code views over the global batch, and terms that spread the codes well.

Shapes: B global batch · K bits · E experts. P[B, B] are the targets, each row a distribution over the batch.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mcmfh.hashing.experts import gating_loss
from mcmfh.hashing.model import Logits, Views
from mcmfh.hashing.settings import MAX_SCALE, TrainSettings
from mcmfh.learning.contrast import contrast, learnt_scale, within
from mcmfh.learning.gather import gather_rows


class Objective(nn.Module):
    """The loss as a function of views and targets; its one parameter is the learnt scale of the contrast."""

    def __init__(self, settings: TrainSettings):
        super().__init__()
        self.settings = settings
        self.log_scale = nn.Parameter(torch.tensor(settings.logit_scale).log())

    def forward(self, views: Views, target_BB: Tensor) -> dict[str, Tensor]:
        """Weighted terms by name, float32 scalars; the loss is their sum.

        `views` are this worker's rows; `target_BB` belongs to the global batch."""
        s = self.settings
        scale = learnt_scale(self.log_scale, MAX_SCALE)
        image, report, fused = (_gathered(logits) for logits in (views.image, views.report, views.fused))
        terms: dict[str, list[Tensor]] = {}

        def add(name: str, weight: float, value: Tensor) -> None:
            if weight:
                terms.setdefault(name, []).append(weight * value)

        for k in image:
            h_I, h_T = image[k].tanh(), report[k].tanh()
            c_I, c_T = sign(h_I), sign(h_T)
            add("hash", 1, contrast(c_I, c_T, target_BB, scale))
            add("intra", s.intra, (within(c_I, target_BB, scale) + within(c_T, target_BB, scale)) / 2)
            add("balance", s.balance, balance(h_I) + balance(h_T))
            add("decorrelation", s.decorrelation, decorrelation(h_I) + decorrelation(h_T))
            add("quantisation", s.quantisation, quantisation(h_I) + quantisation(h_T))
            if fused:
                h_F = fused[k].tanh()
                c_F = sign(h_F)
                add("hash", 0.5, contrast(c_I, c_F, target_BB, scale) + contrast(c_T, c_F, target_BB, scale))
                add("distillation", s.distillation, distillation(h_I, h_F) + distillation(h_T, h_F))
        mean = {name: torch.stack(values).mean() for name, values in terms.items()}
        if views.tokens_B2D is not None:
            tokens_B2D = gather_rows(views.tokens_B2D.float())
            fusion = contrast(tokens_B2D[:, 0], tokens_B2D[:, 1], target_BB, scale)
            mean["fusion"] = s.fusion_weight * fusion
        if s.gating_loss and views.gates:
            pairs = [gating_loss(gather_rows(gate), s.top_k) for gate in views.gates]
            mean["gating"] = s.gating_loss * torch.stack([switch + cv2 for switch, cv2 in pairs]).sum()
        return mean


def _gathered(logits: Logits) -> Logits:
    return {k: gather_rows(x.float()) for k, x in logits.items()}


def sign(h: Tensor) -> Tensor:
    """±1 forward, identity backward (straight-through, Bengio et al. 2013); 0 counts as −1, like the bit 0."""
    return h + (torch.where(h > 0, 1.0, -1.0) - h).detach()


def balance(h_BK: Tensor) -> Tensor:
    """Mean squared bias of the bits: 0 when each is on for half the batch."""
    return h_BK.mean(0).square().mean()


def decorrelation(h_BK: Tensor) -> Tensor:
    """Mean squared correlation between different bits."""
    gram_KK = h_BK.T @ h_BK / len(h_BK)
    return (gram_KK - torch.diag(gram_KK.diagonal())).square().mean()


def quantisation(h_BK: Tensor) -> Tensor:
    """Mean squared distance of the relaxed bits from ±1."""
    return (h_BK.abs() - 1).square().mean()


def distillation(h_BK: Tensor, fused_BK: Tensor) -> Tensor:
    """1 − cos to the fused code; the fused code gets no gradient."""
    return (1 - F.cosine_similarity(h_BK, fused_BK.detach(), dim=-1)).mean()
