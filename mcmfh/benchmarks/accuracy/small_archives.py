"""Accuracy on held-out items when few pairs train: an archive is cut down, the test items stay.

python jobs/measure.py small archive.manifest=… store=…          embed the archive first
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from mcmfh.benchmarks.accuracy.training import smaller_archive, trained_coder
from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.evaluation import evaluate
from mcmfh.evaluation.intervals import mean_and_sd
from mcmfh.hashing.coder import Coder
from mcmfh.hashing.codes import pack_codes
from mcmfh.hashing.settings import TrainSettings

SIZES = (24, 40, 100)


def measure_small(
    table: EmbeddingTable,
    settings: TrainSettings,
    sizes: Sequence[int] = SIZES,
    seeds: int = 6,
    say: Callable[[str], None] = print,
) -> str:
    """One line an archive size: mAP on unseen items and mAP in all (mean ± sd over seeds), and ruled items.

    A test item is ruled when one feature has more than half of the squared length of its standardised embedding.
    """
    for pairs in sizes:
        found = []
        for seed in range(seeds):
            cut = smaller_archive(table, pairs, seed)
            coder = trained_coder(cut, settings.model_copy(update={"seed": seed}))
            logits = coder.all_logits(cut.image, cut.report)
            scores = []
            for bits in coder.bits:
                codes = {name: pack_codes(of[bits]) for name, of in logits.items()}
                evaluation = evaluate(codes, cut, bits, databases=("seen", "unseen"), resamples=2, permutations=0)
                scores += [evaluation.mean(databases=("unseen",)), evaluation.mean()]
            found.append([*scores, float(ruled(coder, cut.of_split("test")))])
        columns = [mean_and_sd(np.array(column)) for column in zip(*found)]
        texts = [f"{mean:.4f} ± {sd:.4f}" for mean, sd in columns[:-1]]
        by_bits = (f"{k} bits {texts[2 * i]} ({texts[2 * i + 1]})" for i, k in enumerate(settings.all_bits))
        say(f"{pairs:,} pairs: {', '.join(by_bits)}; {columns[-1][0]:.1f} items ruled by one feature")
    return f"mAP of unseen items (mean of seen and unseen), {seeds} seeds"


@torch.inference_mode()
def ruled(coder: Coder, table: EmbeddingTable) -> int:
    """How many embeddings of `table` are ruled by one feature."""
    count = 0
    for name, x in (("image", table.image), ("report", table.report)):
        squared = coder.model.standardise[name](torch.from_numpy(x)).square()
        count += int((squared.amax(1) > 0.5 * squared.sum(1)).sum())
    return count
