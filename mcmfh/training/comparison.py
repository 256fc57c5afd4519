"""Several methods, the same embeddings and splits, several seeds: one Ray job, one task a (row, seed).

A row is a named variant of the training settings, or a baseline. Ablations switch parts of the paper's recipe off one
by one; what a part contributes is what the table says, whatever it says.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import ray

from mcmfh.encoders import EncoderSpec
from mcmfh.encoders.table import EmbeddingTable
from mcmfh.evaluation import Evaluation, evaluate
from mcmfh.hashing.bundle import Bundle
from mcmfh.hashing.codes import pack_codes
from mcmfh.hashing.settings import TrainSettings, ablations


@dataclass(frozen=True)
class Row:
    """`settings` of MCMFH (or ITQ) training, or the name of a `baseline`."""

    name: str
    settings: TrainSettings | None = None
    baseline: str | None = None


def _variant(base: TrainSettings, name: str, **changes: Any) -> Row:
    given = {**base.model_dump(exclude_unset=True), **changes, "workers": 0, "min_workers": None}
    return Row(name, TrainSettings.model_validate(given))


def method_rows(base: TrainSettings) -> list[Row]:
    """The default recipe, the paper's, the supervised one, and every baseline."""
    from mcmfh.hashing.baselines import BASELINES

    return [
        _variant(base, "MCMFH (default recipe)"),
        _variant(base, "MCMFH (every part of the paper)", recipe="paper"),
        _variant(base, "MCMFH (supervised)", supervised=True),
        *(Row(name, baseline=name) for name in BASELINES),
    ]


def ablation_rows(base: TrainSettings) -> list[Row]:
    """The paper's recipe and, row by row, the same without one of its parts."""
    return [_variant(settings, name) for name, settings in ablations(base).items()]


def bit_rows(base: TrainSettings) -> list[Row]:
    """The default recipe at five code lengths, trained at once on one trunk."""
    return [_variant(base, "MCMFH (default recipe)", bits=(8, 16, 32, 64, 128))]


ROWS: dict[str, Callable[[TrainSettings], list[Row]]] = {
    "methods": method_rows,
    "ablation": ablation_rows,
    "bits": bit_rows,
}


def compare(
    rows: list[Row], seeds: int, table: EmbeddingTable, spec: EncoderSpec, bits: tuple[int, ...]
) -> Iterator[list[Evaluation]]:
    """Evaluations (one a code length) of each row and seed, as they finish; `bits` is what baselines are fitted at."""
    shared = ray.put(table)
    # The encoder is not run: its canary would cost more than the training.
    unread = replace(spec, name="precomputed")
    tasks = [_measure.remote(row, seed, shared, unread, bits) for row in rows for seed in range(seeds)]
    while tasks:
        finished, tasks = ray.wait(tasks)
        yield ray.get(finished[0])


def evaluate_bundle(bundle: Bundle, table: EmbeddingTable, method: str) -> list[Evaluation]:
    """One evaluation a code length of a trained model on `table`, under the name `method`."""
    logits = bundle.all_logits(table.image, table.report)
    return [
        evaluate(
            {modality: pack_codes(by_bits[bits]) for modality, by_bits in logits.items()},
            table,
            bits,
            method=method,
            seed=bundle.shape.seed,
            supervised=bundle.config["training"]["supervised"],
        )
        for bits in bundle.bits
    ]


@ray.remote(num_cpus=1)
def _measure(row: Row, seed: int, table: EmbeddingTable, spec: EncoderSpec, bits: tuple[int, ...]) -> list[Evaluation]:
    return _measure_baseline(row, seed, table, bits) if row.baseline else _measure_model(row, seed, table, spec)


def _measure_model(row: Row, seed: int, table: EmbeddingTable, spec: EncoderSpec) -> list[Evaluation]:
    from mcmfh.hashing import load_bundle
    from mcmfh.training.mcmfh import train

    assert row.settings is not None
    settings = row.settings.model_copy(update={"seed": seed})
    with tempfile.TemporaryDirectory() as folder:
        bundle = load_bundle(train(table, settings, spec, folder, "row").bundle_uri)
    return evaluate_bundle(bundle, table, row.name)


def _measure_baseline(row: Row, seed: int, table: EmbeddingTable, bits: tuple[int, ...]) -> list[Evaluation]:
    from mcmfh.hashing.baselines import make_baseline

    found = []
    for k in bits:
        baseline = make_baseline(str(row.baseline))
        codes = baseline.fit(table.of_split("train"), k, seed).hash(table)
        real_valued = codes["image"].dtype.kind == "f"
        found.append(
            evaluate(
                codes,
                table,
                None if real_valued else k,
                method=row.name,
                seed=seed,
                supervised=baseline.supervised,
            )
        )
        if real_valued:
            break
    return found
