"""Concepts and asserted reports, encoded for closed-form training."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from mcmfh.archive.loading import load_items
from mcmfh.bulk.texts import encode_texts
from mcmfh.config import Config
from mcmfh.embeddings.assertions import asserted_clauses
from mcmfh.embeddings.concepts import Concepts, mentions, read_concepts
from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.encoders import EncoderSpec
from mcmfh.errors import InputError
from mcmfh.pipeline.split import Divided

# What a report says that negates all it names.
NOTHING = "normal"

Encode = Callable[[Sequence[str], EncoderSpec, str, float], np.ndarray]  # texts, encoder, store, GPUs → float32[N, D_T]


def with_concepts(
    config: Config, divided: Divided, spec: EncoderSpec, table: EmbeddingTable, encode: Encode = encode_texts
) -> EmbeddingTable:
    """`table` with the concepts of train.concepts and with what the reports of its train pairs assert, both encoded.

    Raises InputError where the encoder of `spec` cannot encode a text.
    """
    source = config.train.concepts
    if source is None:
        return table
    if spec.name == "precomputed":
        raise InputError("a precomputed encoder encodes no concepts; set train.concepts: null")
    phrases = read_concepts(source)
    gpus = config.encoder.gpus(spec.device)
    vectors = encode([phrase.text for phrase in phrases], spec, config.store, gpus)
    train = np.flatnonzero((table.split == "train") & table.paired)
    reports = _reports(divided, table.item_id[train].tolist())
    clauses = [asserted_clauses(report) or [NOTHING] for report in reports]
    read = np.zeros((len(table), spec.report_width), np.float32)
    read[train] = encode([". ".join(each) for each in clauses], spec, config.store, gpus)
    encoded = encode([clause for each in clauses for clause in each], spec, config.store, gpus)
    mentioned = np.zeros((len(table), len(phrases)), np.float32)
    mentioned[train] = mentions(encoded, [len(each) for each in clauses], vectors)
    return replace(table, asserted=read, mentions=mentioned, concepts=Concepts(phrases, vectors))


def _reports(divided: Divided, item_ids: Sequence[str]) -> list[str]:
    """The texts of the train items `item_ids`, read as embedding read them."""
    items = divided.rows("train").select(["item_id", "report", "report_uri"])
    of_item = {row["item_id"]: row for row in items.to_pylist()}
    loaded = load_items((of_item[name] for name in item_ids), divided.limits)
    return [each.report or "" for each in loaded]
