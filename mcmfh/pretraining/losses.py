"""L = L_ITC + L_MIM + L_MLM over the global batch; the errors of all rows are gathered with their gradients.

Shapes: B global batch · b this worker's rows · N patches · P values of a patch · L tokens · M hidden positions.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from mcmfh.encoders.mcr_towers.masking import Mask
from mcmfh.learning.contrast import contrast, graded, within
from mcmfh.learning.gather import gather_rows


def image_report_contrast(image_bD: Tensor, report_bD: Tensor, key_b: Tensor, scale: Tensor) -> Tensor:
    """InfoNCE in both directions over the gathered batch. Reports with equal `key` are one another's positives."""
    key_B = gather_rows(key_b)
    same_BB = (key_B[:, None] == key_B[None]).float()
    return contrast(gather_rows(image_bD), gather_rows(report_bD), same_BB / same_BB.sum(1, keepdim=True), scale)


def graded_contrast(
    image_bD: Tensor, report_bD: Tensor, guide_bG: Tensor, temperature: float, scale: Tensor, intra: float
) -> dict[str, Tensor]:
    """The contrast over the gathered batch with targets softmax(cos / temperature) of the guides, and `intra` times the
    same within each modality."""
    image_BD, report_BD, guide_BG = (gather_rows(x) for x in (image_bD, report_bD, guide_bG))
    target_BB = graded(guide_BG, temperature)
    terms = {"contrast": contrast(image_BD, report_BD, target_BB, scale)}
    if intra:
        terms["intra"] = intra / 2 * (within(image_BD, target_BB, scale) + within(report_BD, target_BB, scale))
    return terms


def patch_targets(patches_BNP: Tensor) -> Tensor:
    """Each patch standardised to mean 0 and variance 1, as in MAE, so that its shape counts and not its brightness."""
    variance, mean = torch.var_mean(patches_BNP, dim=-1, keepdim=True)
    return (patches_BNP - mean) / (variance + 1e-6).sqrt()


def patch_error(predicted_MP: Tensor, patches_bNP: Tensor, mask: Mask) -> Tensor:
    """Mean squared error of the hidden patches. Predicting each patch's own mean would give nearly 1."""
    error_M = (predicted_MP.float() - patch_targets(patches_bNP[mask.hidden_BL])).square().mean(-1)
    return _global_mean(error_M, mask)


def token_error(pieces_MO: Tensor, tokens_bL: Tensor, mask: Mask) -> Tensor:
    """Cross-entropy (nats) of the hidden tokens."""
    return _global_mean(F.cross_entropy(pieces_MO.float(), tokens_bL[mask.hidden_BL], reduction="none"), mask)


def _global_mean(error_M: Tensor, mask: Mask) -> Tensor:
    """The mean over the hidden positions of all workers: sums and counts are gathered row by row."""
    count_b = mask.hidden_BL.sum(1)
    row_M = torch.arange(len(count_b), device=error_M.device).repeat_interleave(count_b)
    total_b = torch.zeros(len(count_b), device=error_M.device).index_add(0, row_M, error_M)
    total_B, count_B = gather_rows(total_b), gather_rows(count_b.float())
    return total_B.sum() / count_B.sum().clamp(min=1)
