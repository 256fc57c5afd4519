"""Whether the precision stated beside a hit is observed: codes are calibrated on validation items and asked on test.

python jobs/measure.py reliability archive.manifest=… store=… train.bits=[16,64]          embed the archive first
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mcmfh.benchmarks.accuracy.training import trained_coder
from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.evaluation.plots import as_svg, side_by_side
from mcmfh.hamming import hamming_distances
from mcmfh.hashing.calibration import calibrate
from mcmfh.hashing.codes import pack_codes
from mcmfh.hashing.settings import TrainSettings

SHARES = (1.0, 0.5, 0.1, 0.0)
FIRST = 10
DIRECTIONS = (("image", "report"), ("report", "image"))


@dataclass(frozen=True)
class Reliability:
    """One code length and one share of labelled validation items.

    stated, observed: by table name ("image-report" …) float64[D + 1], by distance; pairs: int64[D + 1] of test items.
    first: the same as pairs, of those that are among the first ten hits of a query.
    """

    bits: int
    share: float
    meaning: str
    counted: int
    stated: dict[str, np.ndarray]
    observed: dict[str, np.ndarray]
    pairs: dict[str, np.ndarray]
    first: dict[str, np.ndarray]

    def error(self, name: str) -> float:
        """Expected calibration error by distance over all pairs of a table (Naeini et al. 2015, a bin a distance)."""
        return self._error(name, self.pairs[name])

    def first_error(self, name: str) -> float:
        """The same over the first hits of each query alone; only for the tables of DIRECTIONS."""
        return self._error(name, self.first[name])

    def _error(self, name: str, weights: np.ndarray) -> float:
        counted = (weights > 0) & (self.pairs[name] > 0)
        gap = np.abs(self.stated[name] - self.observed[name])
        return float((gap * weights)[counted].sum() / max(1, weights[counted].sum()))


def reliability(codes: dict[str, np.ndarray], table: EmbeddingTable, share: float = 1.0, seed: int = 0) -> Reliability:
    """Calibrate on the validation items of `table`, of which `share` keep labels, and compare with its test items.

    codes: uint8[N, K/8] by modality, of the items of `table`. Statements about the same study hold for an archive of
    the size of the validation set (see `calibrate`), so test items are then cut to as many studies.
    """
    random = np.random.default_rng(seed)
    validation, test = (np.flatnonzero((table.split == side) & table.paired) for side in ("validation", "test"))
    known = table.labels[validation] & (random.random(len(validation)) < share)[:, None]
    stated = calibrate(_rows(codes, validation), known, table.study[validation])
    by_label = stated["meaning"] == "relevant"
    if not by_label:
        studies = np.unique(table.study[test])
        as_many = random.permutation(studies)[: len(np.unique(table.study[validation]))]
        test = test[np.isin(table.study[test], as_many)]
    labels, study = table.labels[test], table.study[test]
    observed = calibrate(_rows(codes, test), labels if by_label else labels[:, :0], study)
    tables = [name for name, value in stated.items() if isinstance(value, dict)]
    pairs = {name: np.array(observed[name]["pairs"]) for name in tables}
    rates = {name: np.array(observed[name]["positives"]) / np.maximum(pairs[name], 1) for name in tables}
    return Reliability(
        bits=8 * codes["image"].shape[1],
        share=share,
        meaning=stated["meaning"],
        counted=stated["counted"],
        stated={name: np.array(stated[name]["probability"], float) for name in tables},
        observed=rates,
        pairs=pairs,
        first={f"{a}-{b}": _first(codes[a][test], codes[b][test], labels, study, by_label) for a, b in DIRECTIONS},
    )


def _rows(codes: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[rows] for name, values in codes.items()}


def _first(
    query: np.ndarray, database: np.ndarray, labels: np.ndarray, study: np.ndarray, by_label: bool
) -> np.ndarray:
    """int64[K + 1]: how many of the first FIRST hits of all queries have each distance, as `calibrate` counts pairs."""
    bins = 8 * query.shape[1] + 1
    distance = hamming_distances(query[:, None], database).astype(np.int64)
    if by_label:
        labelled: np.ndarray = np.any(labels, axis=1)
        counted = labelled[:, None] & labelled & (study[:, None] != study)
        distance = np.where(counted, distance, bins)
    nearest = np.sort(distance, axis=1)[:, :FIRST]
    return np.bincount(nearest[nearest < bins], minlength=bins)


def measure_reliability(
    table: EmbeddingTable,
    settings: TrainSettings,
    shares: Sequence[float] = SHARES,
    say: Callable[[str], None] = print,
) -> list[Reliability]:
    """Trains once and says, a line for each code length and share, how far stated and observed precision are apart."""
    logits = trained_coder(table, settings).all_logits(table.image, table.report)
    found = []
    for bits in settings.all_bits:
        codes = {name: pack_codes(of[bits]) for name, of in logits.items()}
        for share in shares:
            found.append(reliability(codes, table, share, settings.seed))
            say(line(found[-1]))
    return found


def line(found: Reliability) -> str:
    """The errors in words."""
    errors = {name: found.error(name) for name in found.pairs}
    worst = max(errors, key=errors.__getitem__)
    first = ", ".join(f"{name} {found.first_error(name):.3f}" for name in found.first)
    about = f"{found.bits} bits, {found.share:.0%} labelled, {found.meaning!r} of {found.counted} items"
    overall = f"{np.mean(list(errors.values())):.3f}, at most {errors[worst]:.3f} ({worst})"
    return f"{about}: expected calibration error {overall}; of the first {FIRST} hits {first}"


def plot(found: Sequence[Reliability]) -> str:
    """An SVG: observed over stated precision, a point a distance, in both directions; points of few pairs are small.

    The mark tells the code length, the colour the share of labelled items.
    """
    marks = dict(zip(dict.fromkeys(each.bits for each in found), itertools.cycle("os^Dv")))
    colours = {share: f"C{n}" for n, share in enumerate(dict.fromkeys(each.share for each in found))}
    names = [f"{a}-{b}" for a, b in DIRECTIONS]
    figure, axes = side_by_side(names)
    for name, area in zip(names, axes):
        area.plot([0, 1], [0, 1], linestyle=":", color="black")
        for each in found:
            counted = each.pairs[name] > 0
            sizes: Any = 2 + 4 * np.log10(each.pairs[name][counted])
            text = f"{each.bits} bits, {each.share:.0%} labelled"
            look: dict[str, Any] = {"s": sizes, "marker": marks[each.bits], "color": colours[each.share]}
            area.scatter(each.stated[name][counted], each.observed[name][counted], label=text, alpha=0.6, **look)
        area.set(title=name, xlabel="stated precision", ylabel="observed")
    return as_svg(figure, axes[0])
