"""Measures of pretraining on held-out pairs: recall in both directions, and the error of reconstruction.

Shapes: n pairs · D common width.
"""

import numpy as np
import torch

from mcmfh.archive.modality import MODALITIES
from mcmfh.encoders.mcr_towers.model import Mcr
from mcmfh.encoders.mcr_towers.vocabulary import PAD
from mcmfh.evaluation.pair_recall import pair_ranks, pair_recall, random_recalls
from mcmfh.learning.gather import rank
from mcmfh.learning.validation import CUTOFFS, DIRECTIONS
from mcmfh.pretraining import losses
from mcmfh.pretraining.pairs import Pairs
from mcmfh.pretraining.trainee import Trainee

WATCHED = 1024  # validation pairs that are measured; the other workers wait for the first one meanwhile
_BATCH = 64


@torch.inference_mode()
def embed_pairs(model: Mcr, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """(float32[n, D], float32[n, D]): unit vectors of pictures and reports, unmasked."""
    device = next(model.parameters()).device
    batches = []
    for start in range(0, len(pairs), _BATCH):
        batch = pairs[start : start + _BATCH]
        (pixels, tokens), words = batch.tensors(device), batch.more_tensors(device).get("words_bLW")
        vectors = model.embed_images(pixels), model.embed_reports(tokens, tokens != PAD, words)
        batches.append([x.float().cpu().numpy() for x in vectors])
    images, reports = (np.concatenate(side) for side in zip(*batches))
    return images, reports


def recall(model: Mcr, pairs: Pairs) -> dict[str, dict[str, float]]:
    """{"image_to_report" | "report_to_image" | "chance": {"R@1", "R@5", "R@10"}} among `pairs`, by cosine.

    Equal reports are one answer. Chance is the recall of a database in random order, in the direction where it is more.
    """
    vectors = dict(zip(MODALITIES, embed_pairs(model, pairs)))
    _, group = np.unique(pairs.tokens, axis=0, return_inverse=True)
    group = group.ravel()
    recalls, chances = {}, []
    for way, (asked, stored) in DIRECTIONS.items():
        ranks = pair_ranks(vectors[asked], vectors[stored], group, group)
        recalls[way] = {f"R@{k}": round(float(pair_recall(ranks, k).mean()), 6) for k in CUTOFFS}
        chances.append([float(x.mean()) for x in random_recalls(vectors[stored], group, CUTOFFS).values()])
    return {**recalls, "chance": {f"R@{k}": round(max(both), 6) for k, *both in zip(CUTOFFS, *chances)}}


@torch.inference_mode()
def reconstruction(trainee: Trainee, pairs: Pairs) -> dict[str, float]:
    """Errors on hidden patches and tokens under fixed masks. `patch_mean`: the error of each patch's own mean."""
    generator = torch.Generator().manual_seed(0)
    device = next(trainee.parameters()).device
    errors: dict[str, float] = {}

    def add(name: str, error: torch.Tensor, share: float) -> None:
        errors[name] = errors.get(name, 0.0) + share * float(error)

    for start in range(0, len(pairs) if trainee.decoders else 0, _BATCH):
        pixels, tokens = pairs[start : start + _BATCH].tensors(device)
        share = len(pixels) / len(pairs)
        patches = trainee.model.image_tower.patches(pixels)
        noise = (torch.rand(x.shape[:2], generator=generator).to(device) for x in (patches, tokens))
        image_mask, report_mask = trainee.masks(tokens, *noise)
        if "image" in trainee.decoders:
            predicted = trainee.decoders["image"](trainee.model.image_tower(patches, image_mask), image_mask)
            add("patches", losses.patch_error(predicted, patches, image_mask), share)
            add("patch_mean", losses.patch_error(torch.zeros_like(predicted), patches, image_mask), share)
        if "report" in trainee.decoders:
            pieces = trainee.decoders["report"](trainee.model.report_tower(tokens, report_mask), report_mask)
            add("tokens", losses.token_error(pieces, tokens, report_mask), share)
    return {name: round(error, 6) for name, error in errors.items()}


def watch(trainee: Trainee, validation: Pairs) -> dict[str, float]:
    """Scalars by TensorBoard tag; {} without validation pairs, and on every worker but the first."""
    if not len(validation) or rank() > 0:
        return {}
    recalls = recall(trainee.model, validation)
    return {"validation/R@10": sum(recalls[way]["R@10"] for way in DIRECTIONS) / len(DIRECTIONS)}
