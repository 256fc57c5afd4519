"""What pretraining is watched by and judged by on held-out pairs: recall both ways, and what reconstruction explains.

Shapes: n pairs · D common width.
"""

import numpy as np
import torch

from mcmfh.archive.modality import MODALITIES
from mcmfh.encoders.mcr_towers.model import Mcr
from mcmfh.encoders.mcr_towers.vocabulary import PAD
from mcmfh.evaluation.pair_recall import pair_ranks, pair_recall
from mcmfh.hashing.validation import CUTOFFS, WAYS
from mcmfh.learning.gather import rank
from mcmfh.pretraining import losses
from mcmfh.pretraining.pairs import Pairs
from mcmfh.pretraining.trainee import Trainee

WATCHED = 1024  # validation pairs that are looked at; more says nothing new and costs the leader its time
_BATCH = 64


@torch.inference_mode()
def embed_pairs(model: Mcr, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """(float32[n, D], float32[n, D]): unit vectors of pictures and reports, unmasked."""
    device = next(model.parameters()).device
    found = []
    for start in range(0, len(pairs), _BATCH):
        pixels, tokens = pairs[start : start + _BATCH].tensors(device)
        vectors = model.embed_images(pixels), model.embed_reports(tokens, tokens != PAD)
        found.append([x.float().cpu().numpy() for x in vectors])
    images, reports = (np.concatenate(side) for side in zip(*found))
    return images, reports


def recall(model: Mcr, pairs: Pairs) -> dict[str, dict[str, float]]:
    """{"image_to_report" | "report_to_image" | "chance": {"R@1", "R@5", "R@10"}} among `pairs`, by cosine; equal
    reports are one answer."""
    vectors = dict(zip(MODALITIES, embed_pairs(model, pairs)))
    answers, group = np.unique(pairs.tokens, axis=0, return_inverse=True)
    group = group.ravel()
    found = {}
    for way, (asked, stored) in WAYS.items():
        ranks = pair_ranks(vectors[asked], vectors[stored], group, group)
        found[way] = {f"R@{k}": round(float(pair_recall(ranks, k).mean()), 6) for k in CUTOFFS}
    return {**found, "chance": {f"R@{k}": min(1.0, round(k / len(answers), 6)) for k in CUTOFFS}}


@torch.inference_mode()
def reconstruction(trainee: Trainee, pairs: Pairs) -> dict[str, float]:
    """Errors on hidden patches and tokens under fixed masks; `patch_mean`: had each patch's own mean been predicted."""
    generator = torch.Generator().manual_seed(0)
    device = next(trainee.parameters()).device
    found: dict[str, float] = {}

    def add(name: str, error: torch.Tensor, share: float) -> None:
        found[name] = found.get(name, 0.0) + share * float(error)

    for start in range(0, len(pairs) if trainee.decoders else 0, _BATCH):
        pixels, tokens = pairs[start : start + _BATCH].tensors(device)
        share = len(pixels) / len(pairs)
        patches = trainee.model.image_tower.patches(pixels)
        noise = (torch.rand(x.shape[:2], generator=generator).to(device) for x in (patches, tokens))
        image_mask, report_mask = trainee.masks(tokens, *noise)
        if "image" in trainee.decoders:
            made_up = trainee.decoders["image"](trainee.model.image_tower(patches, image_mask), image_mask)
            add("patches", losses.patch_error(made_up, patches, image_mask), share)
            add("patch_mean", losses.patch_error(torch.zeros_like(made_up), patches, image_mask), share)
        if "report" in trainee.decoders:
            pieces = trainee.decoders["report"](trainee.model.report_tower(tokens, report_mask), report_mask)
            add("tokens", losses.token_error(pieces, tokens, report_mask), share)
    return {name: round(error, 6) for name, error in found.items()}


def watch(trainee: Trainee, validation: Pairs) -> dict[str, float]:
    """Scalars by TensorBoard tag; {} without validation pairs, and on every worker but the first."""
    if not len(validation) or rank() > 0:
        return {}
    found = recall(trainee.model, validation)
    return {"validation/R@10": sum(found[way]["R@10"] for way in WAYS) / len(WAYS)}
