"""MCR against its alternatives on an archive's held-out pairs, one row at a time; finished rows are stored.

A row is pretrained like any encoder (also resumed or reused), embeds the test split, and is ranked by cosine: R@K and,
with labels, P@K. In the row of equal wall time, dual-stream gets as many epochs as fit the masked-only run's time. The
ratio of step times that this needs is measured once and stored.

python jobs/evaluate.py archive.manifest=… store=… evaluate.compare=pretraining pretrain.size=tiny evaluate.seeds=1
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mcmfh.archive.opened import Archive
from mcmfh.config import ArchiveConfig, Config, EvaluateConfig
from mcmfh.console import Advance
from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.evaluation import Evaluation, evaluate, write_report
from mcmfh.evaluation.provenance import Provenance
from mcmfh.evaluation.split import Split
from mcmfh.learning.device import chosen_device
from mcmfh.pipeline.archive import open_manifest, read_archive
from mcmfh.pipeline.comparison import chosen_names
from mcmfh.pipeline.embed import embed_archive
from mcmfh.pipeline.evaluate import Evaluated, covered
from mcmfh.pipeline.pretrain import pretrain_archive
from mcmfh.pipeline.provenance import JOB, page_overrides
from mcmfh.pipeline.split import ARCHIVE, Divided, divide
from mcmfh.pipeline.train import embedding_table
from mcmfh.pretraining.settings import PretrainSettings
from mcmfh.pretraining.step_time import both_streams, step_seconds
from mcmfh.pretraining.warm_start import weight_versions
from mcmfh.store import files
from mcmfh.store.code_version import evaluation_code, pretraining_code
from mcmfh.store.layout import held_out_manifest, pretraining_comparison, pretraining_cost, pretraining_row
from mcmfh.store.sealed import once

SPLIT = "test"
Measure = Callable[[Config, Archive, str, PretrainSettings, int], dict[str, Any]]


def pretraining_rows(base: PretrainSettings, dual_cost: float) -> dict[str, PretrainSettings]:
    """The settings of each row, by name. `dual_cost`: seconds of a dual-stream step over those of a masked-only one.

    Rows whose towers mask a feature map are not called masked-only: its frozen stages saw the whole picture.
    """
    masked = "masked-only" if base.masked_space == "pixel" else "masked in feature space"
    changes: dict[str, dict[str, Any]] = {
        f"{masked}, map first (MCR)": {},
        f"{masked}, pool first": {"aggregation": "pool_first"},
        "dual-stream, equal epochs": {"stream": "dual"},
        "dual-stream, equal wall time": {"stream": "dual", "epochs": max(1, round(base.epochs / dual_cost))},
        f"{masked}, no reconstruction": {"reconstruction": False},
    }
    return {name: base.model_copy(update=change) for name, change in changes.items()}


def compare_pretraining(
    config: Config, archive: Archive, progress: Advance | None = None, measure: Measure | None = None
) -> Evaluated:
    """Pretrain and evaluate every row with evaluate.seeds seeds, by `measure`, or read what is finished."""
    divided = divide(config, archive)
    measure = measure or pretrain_and_evaluate
    base = config.pretrain
    columns = ("item_id", "fingerprint", "split", "group", "study_id")
    contents = [each.items[name].to_pylist() for each in divided.archives for name in columns]
    scored_by = archive.items["labels"].to_pylist(), config.evaluate.families
    code = pretraining_code(), evaluation_code()
    what = [base.work, weight_versions(base), asdict(divided.limits), contents, scored_by, divided.split.digest, code]
    root = pretraining_comparison(config.store, files.digest(what)[:16])
    cost = once(pretraining_cost(root), lambda: _dual_cost(base))
    rows = pretraining_rows(base, cost["dual_over_masked"])
    rows = {name: rows[name] for name in chosen_names(list(rows), config.evaluate.rows)}
    evaluations: list[Evaluation] = []
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    page = ""
    made = _provenance(config, divided, rows)
    for seed in range(config.evaluate.seeds):
        for name, settings in rows.items():
            uri = pretraining_row(root, files.digest(name)[:16], seed)
            row = once(uri, partial(measure, config, archive, name, settings, seed))
            evaluations.append(Evaluation.from_json(row["evaluation"]))
            seconds[name].append(row["seconds"])
            spent = "; ".join(
                f"{each}: {', '.join(f'{s:.0f}' for s in took)}" for each, took in seconds.items() if took
            )
            note = f"cosine of embeddings; test items: {row['embedded']}; seconds of training: {spent}"
            page = write_report(evaluations, root, "Pretraining", note, made)
            if progress:
                progress(len(evaluations), len(rows) * config.evaluate.seeds)
    evaluations.sort(key=lambda each: (list(rows).index(_row_of(each)), each.seed))
    return Evaluated(evaluations, page, made)


def _provenance(config: Config, divided: Divided, rows: Mapping[str, PretrainSettings]) -> Provenance:
    listed = [each.digest for each in divided.split.members]
    contents = [each.items[name].to_pylist() for each in divided.archives for name in ("fingerprint", "labels")]
    return Provenance(
        archive=files.digest([listed, contents]),
        embedded=None,  # each row embeds by its own towers; the note says how much
        split=divided.split.digest,
        encoder="mcr, one for each row and seed",
        settings=files.digest({name: settings.work for name, settings in rows.items()}),
        seeds=tuple(range(config.evaluate.seeds)),
        code=evaluation_code(),
        job=JOB,
        overrides=page_overrides(config),
    )


def _row_of(evaluation: Evaluation) -> str:
    return evaluation.method.rpartition(", ")[0]


def _dual_cost(base: PretrainSettings) -> dict[str, float]:
    seconds = step_seconds(both_streams(base), device=chosen_device(base.device, "pretrain.device"))
    return {"dual_over_masked": seconds["dual-stream"] / seconds["masked-only"]}


def pretrain_and_evaluate(
    config: Config, archive: Archive, name: str, settings: PretrainSettings, seed: int
) -> dict[str, Any]:
    """{"evaluation", "seconds" of training, "embedded": how much of the test split} of one row and seed, as JSON."""
    settings = settings.model_copy(update={"seed": seed})
    trained = pretrain_archive(config.model_copy(update={"pretrain": settings}), archive)
    encoder = config.encoder.model_copy(update={"name": "mcr", "source": trained.source})
    # The manifest of the held-out items is divided already, and its twins were looked for when it was.
    undivided = EvaluateConfig(twins_up_to=0)
    embedding = config.model_copy(
        update={"encoder": encoder, "archive": held_out(config, archive), "evaluate": undivided}
    )
    embed_archive(embedding, open_manifest(embedding.archive))
    _, table = embedding_table(embedding, read_archive(embedding.archive))
    table = _as_divided(table, divide(config, archive).split)
    method = f"{name}, {settings.epochs} epochs"
    vectors = {"image": table.image, "report": table.report}
    work = {key: value for key, value in settings.work.items() if key != "seed"}
    evaluation = evaluate(
        vectors,
        table,
        None,
        method=method,
        seed=seed,
        databases=("unseen",),
        families=config.evaluate.families,
        settings=files.digest(work),
    )
    return {"evaluation": evaluation.to_json(), "seconds": trained.seconds, "embedded": covered(table)}


def _as_divided(table: EmbeddingTable, split: Split) -> EmbeddingTable:
    """The held-out items with what the whole archive's split says of them."""
    asked = split.part(len(split.members) - 1)
    met = set(split.item_id[asked][split.met_in_train[asked]].tolist())
    return replace(
        table,
        met_in_train=np.array([name in met for name in table.item_id.tolist()], bool),
        split_line=split.line(),
        split_digest=split.digest,
    )


def held_out(config: Config, archive: Archive) -> ArchiveConfig:
    """The archive reduced to its test split, by a manifest that is written to the store."""
    items = divide(config, archive).rows(SPLIT).drop_columns(["row", "fingerprint", ARCHIVE])
    role = pa.array([SPLIT] * items.num_rows, pa.string())
    sink = io.BytesIO()
    pq.write_table(items.set_column(items.column_names.index("split"), "split", role), sink)
    uri = held_out_manifest(config.store, files.digest(sink.getvalue())[:16])
    files.create(uri, sink.getvalue())
    return config.archive.model_copy(update={"manifest": uri})
