"""What is watched while training: losses, expert load, bit balance, recall on validation; TensorBoard scalars."""

import numpy as np
import torch

from mcmfh.encoders.table import EmbeddingTable
from mcmfh.hashing.codes import pack_codes
from mcmfh.hashing.experts import expert_load
from mcmfh.hashing.model import Mcmfh
from mcmfh.hashing.recall import LARGEST, hamming_matrix, pair_recall, same_text


@torch.inference_mode()
def watch(model: Mcmfh, validation: EmbeddingTable) -> dict[str, float]:
    """Scalars by TensorBoard tag, measured on up to LARGEST validation pairs; {} without any."""
    if not len(validation):
        return {}
    device = next(model.parameters()).device
    image = torch.from_numpy(validation.image[:LARGEST]).to(device)
    report = torch.from_numpy(validation.report[:LARGEST]).to(device)
    views = model(image, report)
    correct = same_text(validation.text_key[:LARGEST])
    scalars: dict[str, float] = {}
    for k in views.image:
        codes = [pack_codes(logits[k].float().cpu().numpy()) for logits in (views.image, views.report)]
        distance = hamming_matrix(*codes)
        recall = [pair_recall(d, correct)[10] for d in (distance, distance.T)]
        scalars[f"validation/pair_R@10/{k}"] = float(np.mean(recall))
        on = np.stack([np.unpackbits(c, axis=1).mean(0) for c in codes])
        scalars[f"bits/mean_bias/{k}"] = float(np.abs(on - 0.5).mean())
    for i, gate in enumerate(views.gates):
        load = expert_load(gate, model.settings.top_k)
        scalars |= {f"experts/layer{i}/load{e}": float(share) for e, share in enumerate(load)}
    return scalars
