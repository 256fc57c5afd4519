"""Does a query find its own partner? Pair R@10 of codes, alone and with a shortlist re-ranked by real values.

python jobs/measure.py pairs archive.manifest=… store=… train.bits=64          embed the archive first
python jobs/measure.py pairs … --beside encoder.name=mcr --beside encoder.source=…      re-ranked by its vectors too
"""

from collections.abc import Callable

import numpy as np

from mcmfh.benchmarks.accuracy.training import trained_coder
from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.evaluation.intervals import mean_and_sd
from mcmfh.evaluation.pair_recall import pair_ranks, pair_recall, random_recall
from mcmfh.evaluation.pairs import answer_groups
from mcmfh.evaluation.protocols import PROTOCOLS
from mcmfh.evaluation.reranking import by_vector, reranked_pair_ranks
from mcmfh.hashing.baselines.cca import canonical_space
from mcmfh.hashing.codes import pack_codes
from mcmfh.hashing.settings import TrainSettings
from mcmfh.hashing.teachers import unit

AT = 10
DIRECTIONS = list(PROTOCOLS[0].directions.values())  # (asked, stored) modalities


def measure_pairs(
    table: EmbeddingTable,
    settings: TrainSettings,
    seeds: int,
    query_split: str,
    say: Callable[[str], None],
    beside: EmbeddingTable | None = None,
) -> None:
    """Say R@10 among the pairs of the split, mean of both directions ± sd over seeds, at each code length.

    A shortlist has 200 items. It is re-ranked by the model's own logits of that length, and by the encoder's vectors:
    their cosine in the canonical space of the train pairs, which is said by itself as well. Equal texts are one answer.
    With `beside`, the same items by another encoder, the vectors of both count alike: the sum of both cosines.
    """
    table, *others = _same_pairs(table, *([beside] if beside else []))
    rows = table.split == query_split
    group = answer_groups(table.select(rows))
    real = _vectors(table, *others, rows=rows)
    alone = [_recall(pair_ranks(real[asked], real[stored], group, group)) for asked, stored in DIRECTIONS]
    say(f"the encoder's vectors alone: {np.mean(alone):.3f}")
    found: dict[str, list[float]] = {}
    for seed in range(seeds):
        coder = trained_coder(table, settings.model_copy(update={"seed": seed}))
        logits = coder.all_logits(table.image[rows], table.report[rows])
        for bits in coder.bits:
            own = {name: of[bits] for name, of in logits.items()}
            codes = {name: pack_codes(of) for name, of in own.items()}
            plain = [pair_ranks(codes[asked], codes[stored], group, group) for asked, stored in DIRECTIONS]
            found.setdefault(f"{bits} bits", []).append(float(np.mean([_recall(ranks) for ranks in plain])))
            for name, vectors in (("the model's logits", own), ("the encoder's vectors", real)):
                ranks = [
                    reranked_pair_ranks(codes[asked], codes[stored], group, by_vector(vectors[asked], vectors[stored]))
                    for asked, stored in DIRECTIONS
                ]
                found.setdefault(f"{bits} bits, re-ranked by {name}", []).append(float(np.mean([*map(_recall, ranks)])))
    for name, values in found.items():
        mean, sd = mean_and_sd(np.array(values))
        say(f"{name}: {mean:.3f} ± {sd:.3f}")
    chance = random_recall(real["report"], group, AT).mean()
    say(f"R@{AT} among {rows.sum():,} pairs of split {query_split}, {seeds} seeds; chance {chance:.3f}")


def _same_pairs(*tables: EmbeddingTable) -> list[EmbeddingTable]:
    """The pairs that every table has, in the order of the first."""
    paired = [each.select(each.paired) for each in tables]
    places = [{name: row for row, name in enumerate(each.item_id.tolist())} for each in paired]
    common = [name for name in places[0] if all(name in place for place in places)]
    return [each.select(np.array([place[name] for name in common])) for each, place in zip(paired, places)]


def _vectors(*tables: EmbeddingTable, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Modality → float[Q, ΣD] of `rows`: unit vectors in the canonical space of each table's train pairs."""
    spaces = [canonical_space(each.of_split("train"), 256)(each) for each in tables]
    return {
        name: np.hstack([unit(space[rows]) for space in sides])
        for name, sides in zip(("image", "report"), zip(*spaces))
    }


def _recall(ranks: tuple[np.ndarray, np.ndarray]) -> float:
    return float(pair_recall(ranks, AT).mean())
