"""Several methods on the same embeddings and splits, with several seeds: one Ray task for each (row, seed).

A row of the comparison is a named variant of the training settings, or a baseline. Ablations switch off one part of the
paper's recipe at a time.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import ray

from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.encoders import EncoderSpec
from mcmfh.errors import InputError
from mcmfh.evaluation import Evaluation, evaluate, evaluate_reranking
from mcmfh.evaluation.evaluate import COLUMNS
from mcmfh.hashing.bundle import Bundle
from mcmfh.hashing.codes import pack_codes
from mcmfh.hashing.settings import TrainSettings, ablations, variant
from mcmfh.store import files
from mcmfh.store.code_version import evaluation_code
from mcmfh.store.layout import comparison_row
from mcmfh.store.sealed import once, stored


@dataclass(frozen=True)
class Row:
    """`settings` of MCMFH (or ITQ) training, or the name of a `baseline`."""

    name: str
    settings: TrainSettings | None = None
    baseline: str | None = None


# What each row of MCMFH is called, and the settings that the name stands for.
RECIPE_ROWS: dict[str, dict[str, Any]] = {
    "MCMFH (default recipe)": {},
    "MCMFH (every part of the paper)": {"recipe": "paper"},
    "MCMFH (concepts)": {"teacher": "concepts"},
    "closed form": {"method": "closed_form"},
    "automatic": {"method": "auto"},
    "closed form (whole reports)": {"method": "closed_form", "reading": "reports", "mix": (0.5, 0.25, 0.25)},
    "MCMFH (supervised)": {"supervised": True},
    "MCMFH (supervised, any label)": {"supervised": True, "targets": "any_label"},
    "closed form (supervised)": {"method": "closed_form", "supervised": True},
}


def _row(name: str, settings: TrainSettings) -> Row:
    here = {"workers": 0, "min_workers": None, "log_dir": None}
    return Row(name, settings.model_copy(update=here))


def method_rows(base: TrainSettings) -> list[Row]:
    """The default recipe, the paper's, the supervised one, and every baseline. `base` sets the rest: see `variant`."""
    from mcmfh.hashing.baselines import BASELINES

    own = [_row(*variant(base, name, **change)) for name, change in RECIPE_ROWS.items()]
    return [*own, *(Row(name, baseline=name) for name in BASELINES)]


def ablation_rows(base: TrainSettings) -> list[Row]:
    """The paper's recipe, and one row for each of its parts without that part."""
    return [_row(name, settings) for name, settings in ablations(base).items()]


def bit_rows(base: TrainSettings) -> list[Row]:
    """The recipe of `base` at five code lengths, trained at once on one trunk."""
    recipe = {"recipe": base.recipe} if base.recipe != "default" else {}
    change = recipe | ({"supervised": True} if base.supervised else {})
    words = [name for name, of_name in RECIPE_ROWS.items() if of_name == change]
    name = words[0] if words else "MCMFH (every part of the paper, supervised)"
    return [_row(*variant(base, name, **change, bits=(8, 16, 32, 64, 128)))]


ROWS: dict[str, Callable[[TrainSettings], list[Row]]] = {
    "methods": method_rows,
    "ablation": ablation_rows,
    "bits": bit_rows,
}


def chosen_rows(rows: list[Row], prefixes: tuple[str, ...]) -> list[Row]:
    """The rows that `chosen_names` chooses."""
    chosen = chosen_names([row.name for row in rows], prefixes)
    return [row for row in rows if row.name in chosen]


def chosen_names(names: Sequence[str], prefixes: tuple[str, ...]) -> list[str]:
    """The names that begin with one of `prefixes`; all for (). Raises InputError for a prefix of none."""
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name in names):
            raise InputError(f"no row begins with '{prefix}'; this comparison has {', '.join(names)}")
    return [name for name in names if name.startswith(prefixes or "")]


def compare(
    rows: list[Row],
    seeds: int,
    table: EmbeddingTable,
    spec: EncoderSpec,
    bits: tuple[int, ...],
    store: str,
    families: tuple[str, ...] | None = None,
    measure: Any = None,
) -> Iterator[list[Evaluation]]:
    """Yield the evaluations (one a code length) of each row and seed as they finish.

    `bits`: the code lengths of baselines; `families`: as `evaluate` takes them. Finished rows are stored in `store`, so
    that an interrupted comparison resumes. `measure` is the Ray function that trains and evaluates one (row, seed).
    """
    # Models of a comparison are not kept, and running the encoder for their canary would cost more than training them.
    unused = replace(spec, name="precomputed")
    contents = table.digest("image", "report", *COLUMNS), table.concepts.digest if table.concepts else None
    todo: dict[ray.ObjectRef[list[Evaluation]], str] = {}
    shared = ray.put(table)
    for row in rows:
        for seed in range(seeds):
            settings = row.settings.work if row.settings else None
            what = [evaluation_code(), row.name, settings, seed, bits, families, spec.digest, contents]
            name = files.digest([*what, table.split_digest])
            uri = comparison_row(store, name)
            if (finished := stored(uri)) is not None:
                yield [Evaluation.from_json(each) for each in finished]
            else:
                todo[(measure or _measure).remote(row, seed, shared, unused, bits, families)] = uri
    while todo:
        (task, *_), _ = ray.wait(list(todo))
        evaluations: list[Evaluation] = ray.get(task)
        rows_of_task = once(todo.pop(task), partial(_as_json, evaluations))
        yield [Evaluation.from_json(each) for each in rows_of_task]


def _as_json(evaluations: list[Evaluation]) -> list[dict[str, Any]]:
    return [each.to_json() for each in evaluations]


def evaluate_bundle(
    bundle: Bundle, table: EmbeddingTable, method: str, families: Sequence[str] | None = None
) -> list[Evaluation]:
    """One evaluation a code length of a trained model on `table`, under the name `method`.

    The evaluation of the shortest codes also has the scores of re-ranking a shortlist: by their own logits, by the
    longest codes, and by the logits of the longest codes.
    """
    logits = bundle.all_logits(table.image, table.report)
    codes = {bits: {name: pack_codes(of[bits]) for name, of in logits.items()} for bits in bundle.bits}
    evaluations = [
        evaluate(
            codes[bits],
            table,
            bits,
            method=method,
            seed=bundle.shape.seed,
            supervised=bundle.config["training"]["supervised"],
            settings=_settings_digest(bundle.config["training"]["settings"]),
            families=families,
        )
        for bits in bundle.bits
    ]
    if table.labels.any():
        short, long = bundle.bits[0], bundle.bits[-1]
        own, real = ({name: of[bits] for name, of in logits.items()} for bits in (short, long))
        longer = codes[long] if long > short else None
        reranked = evaluate_reranking(codes[short], table, short, own, longer, real if long > short else None)
        evaluations[0] = replace(evaluations[0], scores=(*evaluations[0].scores, *reranked))
    return evaluations


def _settings_digest(settings: dict[str, Any]) -> str:
    """sha256 of what a row was trained with. Its seeds and code lengths stand in columns of their own."""
    return files.digest({key: value for key, value in settings.items() if key not in ("seed", "bits")})


@ray.remote(num_cpus=1)
def _measure(
    row: Row,
    seed: int,
    table: EmbeddingTable,
    spec: EncoderSpec,
    bits: tuple[int, ...],
    families: tuple[str, ...] | None,
) -> list[Evaluation]:
    if row.baseline:
        return _measure_baseline(row, seed, table, bits, families)
    return _measure_model(row, seed, table, spec, families)


def _measure_model(
    row: Row, seed: int, table: EmbeddingTable, spec: EncoderSpec, families: tuple[str, ...] | None
) -> list[Evaluation]:
    from mcmfh.hashing import load_bundle
    from mcmfh.training.mcmfh import train

    assert row.settings is not None
    settings = row.settings.model_copy(update={"seed": seed})
    with tempfile.TemporaryDirectory() as folder:
        bundle = load_bundle(train(table, settings, spec, folder, "row").bundle_uri)
    return evaluate_bundle(bundle, table, row.name, families)


def _measure_baseline(
    row: Row, seed: int, table: EmbeddingTable, bits: tuple[int, ...], families: tuple[str, ...] | None
) -> list[Evaluation]:
    from mcmfh.hashing.baselines import make_baseline

    evaluations = []
    for k in bits:
        baseline = make_baseline(str(row.baseline))
        codes = baseline.fit(table.of_split("train"), k, seed).hash(table)
        real_valued = codes["image"].dtype.kind == "f"
        evaluations.append(
            evaluate(
                codes,
                table,
                None if real_valued else k,
                method=row.name,
                seed=seed,
                supervised=baseline.supervised,
                settings=_settings_digest({"baseline": row.baseline, **vars(baseline)}),
                families=families,
            )
        )
        if real_valued:
            break
    return evaluations
