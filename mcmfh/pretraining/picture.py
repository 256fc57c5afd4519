"""Pictures of what pretraining has learnt: reconstructed patches, and which parts of an image match its report.

The pictures show images of the archive and must be protected like the archive.
Shapes: n pairs · N patches · P values of a patch · S image side.
"""

import io

import numpy as np
import torch
from torch import Tensor

from mcmfh.encoders.mcr_towers.aggregation import MapFirst
from mcmfh.encoders.mcr_towers.masking import all_present, see_all
from mcmfh.encoders.mcr_towers.model import Mcr
from mcmfh.encoders.mcr_towers.towers import ImageTower
from mcmfh.encoders.mcr_towers.vocabulary import PAD, Vocabulary
from mcmfh.pretraining.pairs import Pairs
from mcmfh.pretraining.trainee import Trainee

GREY = 0.5


@torch.inference_mode()
def reconstruction_picture(trainee: Trainee, pairs: Pairs) -> bytes | None:
    """PNG, one row a pair: the original, what the tower sees, and the hidden patches as the decoder reconstructs them.

    The decoder predicts standardised patches (losses.patch_targets); their brightness and contrast are taken from the
    original, as in MAE's own pictures. None for towers without an image decoder or one that predicts features.
    """
    tower, settings = trainee.model.image_tower, trainee.settings
    if "image" not in trainee.decoders or not isinstance(tower, ImageTower):
        return None
    pixels, tokens = pairs.tensors("cpu")
    patches = tower.patches(pixels)
    generator = torch.Generator().manual_seed(0)
    noise = (torch.rand(*x.shape[:2], generator=generator) for x in (patches, tokens))
    mask, _ = trainee.masks(tokens, *noise)
    variance, mean = torch.var_mean(patches, dim=-1, keepdim=True)
    seen, restored = patches.clone(), patches.clone()
    seen[mask.hidden_BL] = (GREY * 255 - tower.mean_P) / tower.deviation_P
    shape_MP = trainee.decoders["image"](tower(patches, mask), mask)
    restored[mask.hidden_BL] = shape_MP * variance[mask.hidden_BL].sqrt() + mean[mask.hidden_BL]
    columns = [_picture(x * tower.deviation_P + tower.mean_P, settings.grid) for x in (patches, seen, restored)]
    return _draw([list(row) for row in zip(*columns)], ["original", "seen", "reconstructed"], [""] * len(pairs))


@torch.inference_mode()
def attention_picture(model: Mcr, pairs: Pairs, vocabulary: Vocabulary, with_text: bool = True) -> bytes | None:
    """PNG, one row a pair: image, the weight of each patch, and what the patch adds to the cosine with the report.

    The weights are a = softmax(w·z), the additions aᵢ zᵢ·u / ‖Σ aᵢ zᵢ‖, which sum to the cosine. None for
    towers that aggregate before they map, because their cosine is not a sum over patches.
    """
    aggregation = model.image_aggregation
    if not isinstance(aggregation, MapFirst):
        return None
    pixels, tokens = pairs.tensors("cpu")
    patches = model.image_tower.patches(pixels)
    everything = see_all(all_present(patches))
    local = model.image_tower(patches, everything)
    parts = aggregation.parts(local, everything)
    added_nN = (parts @ model.embed_reports(tokens, tokens != PAD)[..., None]).squeeze(-1)
    weight_nN = aggregation.score(aggregation.phi(local)).squeeze(-1).softmax(1)
    grid = model.settings.grid
    rows = [
        [image / 255, weight.reshape(grid, grid).numpy(), added.reshape(grid, grid).numpy()]
        for image, weight, added in zip(pairs.pixels, weight_nN, added_nN)
    ]
    texts = [f"cosine {added.sum():.2f}" for added in added_nN]
    if with_text:
        texts = [f"{text}: {vocabulary.read(row)[:90]}" for text, row in zip(texts, pairs.tokens)]
    return _draw(rows, ["image", "weight", "adds to the cosine"], texts)


def _picture(patches_nNP: Tensor, grid: int) -> np.ndarray:
    """float32[n, S, S, 3] in [0, 1] of patches with values 0 … 255."""
    n, p = len(patches_nNP), int((patches_nNP.shape[-1] // 3) ** 0.5)
    tiled = patches_nNP.view(n, grid, grid, 3, p, p).permute(0, 1, 4, 2, 5, 3)
    return (tiled.reshape(n, grid * p, grid * p, 3) / 255).clamp(0, 1).numpy()


def _draw(rows: list[list[np.ndarray]], heads: list[str], texts: list[str]) -> bytes:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    room = ConstrainedLayoutEngine(rect=(0, 0.02, 1, 0.98))  # leaves space for the last row's text
    figure = Figure(figsize=(2.4 * len(heads), 2.6 * len(rows)), layout=room)
    panels = figure.subplots(len(rows), len(heads), squeeze=False)
    for axes, head in zip(panels[0], heads):
        axes.set_title(head, fontsize=8)
    for line, row, text in zip(panels, rows, texts):
        for axes, array in zip(line, row):
            axes.set_axis_off()
            if array.ndim == 3:
                axes.imshow(array)
            else:
                axes.imshow(row[0], extent=(0, 1, 0, 1))
                axes.imshow(array, extent=(0, 1, 0, 1), alpha=0.6, cmap="inferno", interpolation="bilinear")
        line[0].text(0, -0.03, text, transform=line[0].transAxes, fontsize=6, va="top", in_layout=False)
    sink = io.BytesIO()
    figure.savefig(sink, format="png", dpi=90, metadata={"Software": None})
    return sink.getvalue()
