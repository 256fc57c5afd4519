"""A feed-forward block of E experts, of which each token uses its best `top_k`, and the loss that spreads the load.

Shapes: T tokens · D width · E experts. Routing and its normalised gates are this project's choice; MCMFH
(arXiv 2512.06449) states a mixture-of-experts transformer with a hybrid gating loss and no more.
"""

import torch
from torch import Tensor, nn


class Experts(nn.Module):
    """Top-k routed experts; one expert alone is the plain feed-forward block."""

    def __init__(self, width: int, hidden: int, experts: int, top_k: int = 2):
        super().__init__()
        self.top_k = min(top_k, experts)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)) for _ in range(experts)
        )
        self.gate = nn.Linear(width, experts, bias=False) if experts > 1 else None

    def forward(self, x_TD: Tensor) -> tuple[Tensor, Tensor | None]:
        """([T, D], gate probabilities [T, E] or None without a choice)."""
        if self.gate is None:
            return self.experts[0](x_TD), None
        probability_TE = self.gate(x_TD).float().softmax(-1)
        top = probability_TE.topk(self.top_k, -1)
        weight_TE = torch.zeros_like(probability_TE).scatter(-1, top.indices, top.values)
        weight_TE = (weight_TE / weight_TE.sum(-1, keepdim=True)).to(x_TD.dtype)
        if (
            not self.training
        ):  # every expert computes every token, so that a token's output cannot depend on its neighbours
            output_ETD = torch.stack([expert(x_TD) for expert in self.experts])
            return torch.einsum("te,etd->td", weight_TE, output_ETD), probability_TE
        y_TD = torch.zeros_like(x_TD)
        for e, expert in enumerate(
            self.experts
        ):  # an expert without tokens runs too, because DDP expects every gradient
            token = weight_TE[:, e].nonzero().squeeze(1)
            routed = expert(x_TD[token]) * weight_TE[token, e, None]
            y_TD = y_TD.index_add(0, token, routed.to(y_TD.dtype))
        return y_TD, probability_TE


def expert_load(probability_TE: Tensor, top_k: int) -> Tensor:
    """[E]: each expert's share of all routing decisions; sums to 1."""
    chosen = probability_TE.topk(top_k, -1).indices
    return torch.bincount(chosen.flatten(), minlength=probability_TE.shape[1]) / chosen.numel()


def gating_loss(probability_TE: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """(E·Σ fₑPₑ, CV² of the importance); both are least when every expert carries the same load.

    The first is the load-balancing loss of the Switch Transformer (Fedus et al. 2021), f being the share of routing
    decisions and P the mean probability; the second is Shazeer et al. 2017.
    """
    importance_E = probability_TE.mean(0)
    switch = probability_TE.shape[1] * (expert_load(probability_TE, top_k) * importance_E).sum()
    return switch, importance_E.var(unbiased=False) / importance_E.mean().square()
