"""TensorBoard scalars of a training: scores on validation, balance of the bits, load of the experts."""

import numpy as np
import torch

from mcmfh.archive.modality import MODALITIES
from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.hashing.codes import pack_codes
from mcmfh.hashing.experts import expert_load
from mcmfh.hashing.model import Mcmfh, Views
from mcmfh.hashing.validation import sample, validation_scores
from mcmfh.learning.validation import DIRECTIONS


@torch.inference_mode()
def watch(model: Mcmfh, validation: EmbeddingTable) -> dict[str, float]:
    """Scalars by TensorBoard tag, measured on up to LARGEST validation pairs; {} without validation pairs."""
    if not len(validation):
        return {}
    few = sample(validation)
    views = _views(model, few)
    scalars: dict[str, float] = {}
    for k in views.image:
        codes: dict[str, np.ndarray] = {
            name: pack_codes(getattr(views, name)[k].float().cpu().numpy()) for name in MODALITIES
        }
        scores = validation_scores(codes, few)
        for measure in set(scores["chance"]) & {"R@10", "mAP"}:
            scalars[f"validation/{measure}/{k}"] = float(np.mean([scores[way][measure] for way in DIRECTIONS]))
        on = np.stack([np.unpackbits(c, axis=1).mean(0) for c in codes.values()])
        scalars[f"bits/mean_bias/{k}"] = float(np.abs(on - 0.5).mean())
    for i, layer in enumerate(expert_loads(model, few, views)):
        scalars |= {f"experts/layer{i}/load{e}": share for e, share in enumerate(layer)}
    return scalars


@torch.inference_mode()
def expert_loads(model: Mcmfh, table: EmbeddingTable, views: Views | None = None) -> list[list[float]]:
    """For each layer with experts, each expert's share of the routing decisions; see `experts`."""
    views = views or _views(model, table)
    return [[round(float(share), 6) for share in expert_load(gate, model.settings.top_k)] for gate in views.gates]


def _views(model: Mcmfh, table: EmbeddingTable) -> Views:
    device = next(model.parameters()).device
    views: Views = model(torch.from_numpy(table.image).to(device), torch.from_numpy(table.report).to(device))
    return views
