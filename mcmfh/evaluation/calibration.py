"""Hamming distance → probability, from validation pairs: what a distance of 3 means in this archive.

With labels: P(relevant | distance). Without: P(same study | distance), and it is called so. The raw rates, each with
one pseudo-pair at the base rate, are made never to rise with distance by pooling adjacent violators (isotonic
regression, Ayer et al. 1955), so that a nearer answer is never shown as the less likely one.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mcmfh.encoders.table import EmbeddingTable
from mcmfh.evaluation.pairs import equal_pairs
from mcmfh.evaluation.protocols import present
from mcmfh.evaluation.ranking import rank_codes

RELEVANT, SAME_STUDY = "P(relevant | distance)", "P(same study | distance)"


@dataclass(frozen=True)
class Calibration:
    meaning: str  # RELEVANT or SAME_STUDY
    bits: int
    probability: tuple[float, ...]  # by distance 0 … bits, never rising
    base_rate: float  # of a random pair
    pairs: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Calibration":
        return cls(**{**document, "probability": tuple(document["probability"])})


def calibrate(items: np.ndarray, matches: np.ndarray, meaning: str) -> Calibration:
    """Calibration of pair counts int[bits + 1] by distance, `matches` of them true."""
    base = float(matches.sum() / max(1, items.sum()))
    probability = _never_rising((matches + base) / (items + 1), items + 1.0)
    return Calibration(meaning, len(items) - 1, tuple(probability.tolist()), base, int(items.sum()))


def calibrations(
    codes: Mapping[str, np.ndarray], table: EmbeddingTable, bits: int, split: str = "validation"
) -> dict[str, list[Calibration]]:
    """For each direction between image and report codes (keys "image→report" …): RELEVANT if the split has labels, and
    SAME_STUDY if it has studies to find. `codes` as `Hasher.hash` gives them, rows are items of `table`."""
    found: dict[str, list[Calibration]] = {}
    for asked in ("image", "report"):
        for stored in ("image", "report"):
            if asked not in codes or stored not in codes:
                continue
            query, rows = (np.flatnonzero((table.split == split) & present(table, each)) for each in (asked, stored))
            if len(query) and len(rows):
                arguments = codes[asked][query], codes[stored][rows], table.select(query), table.select(rows)
                found[f"{asked}→{stored}"] = _direction(*arguments, bits, same_modality=asked == stored)
    return found


def _direction(
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    query: EmbeddingTable,
    database: EmbeddingTable,
    bits: int,
    same_modality: bool,
) -> list[Calibration]:
    own = query.study, database.study
    others = rank_codes(query_codes, database_codes, query.labels, database.labels, bits, own=own)
    made = []
    if others.relevant.any():
        made.append(calibrate(others.items.sum(0), others.relevant.sum(0), RELEVANT))
    i, j = equal_pairs(*own)
    if same_modality:
        different = query.item_id[i] != database.item_id[j]
        i, j = i[different], j[different]
    matches = np.bincount(np.bitwise_count(query_codes[i] ^ database_codes[j]).sum(1), minlength=bits + 1)
    if matches.any():
        made.append(calibrate(others.items.sum(0) + matches, matches, SAME_STUDY))
    return made


def _never_rising(rate: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The weighted least-squares fit to `rate` that never rises."""
    blocks: list[tuple[float, float, int]] = []
    for value, mass in zip(rate.tolist(), weight.tolist()):
        block = (value, mass, 1)
        while blocks and blocks[-1][0] < block[0]:
            last = blocks.pop()
            total = last[1] + block[1]
            block = ((last[0] * last[1] + block[0] * block[1]) / total, total, last[2] + block[2])
        blocks.append(block)
    return np.repeat([value for value, _, _ in blocks], [count for _, _, count in blocks])
