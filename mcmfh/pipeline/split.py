"""The split that a configuration asks for, made once from the manifests; everything that trains or scores takes it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcmfh.archive.loading import load_items
from mcmfh.archive.opened import Archive
from mcmfh.config import ArchiveConfig, Config
from mcmfh.embeddings.seen import Seen, refuse_seen
from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.encoders import EncoderSpec
from mcmfh.encoders.mcr_towers.bundle import read_config
from mcmfh.evaluation.split import Members, Split, make_split
from mcmfh.pipeline.archive import read_archive, refuse_faults
from mcmfh.store import files
from mcmfh.store.layout import split_texts
from mcmfh.store.sealed import once


@dataclass(frozen=True)
class Divided:
    """A split and the archives that it divides, in its order: what trains stands before what is asked."""

    split: Split
    archives: tuple[Archive, ...]

    def rows(self, role: str) -> pa.Table:
        """The listed items of that role with `archive`, the name that their names hold in."""
        tables = []
        for number, archive in enumerate(self.archives):
            chosen = archive.items.filter(pa.array(self.split.role[self.split.part(number)] == role))
            name = pa.array([self.split.members[number].archive] * chosen.num_rows, pa.string())
            tables.append(chosen.append_column("archive", name))
        return pa.concat_tables(tables, promote_options="default")


def divide(config: Config, archive: Archive) -> Divided:
    """The split of `archive` by the manifest, by evaluate.train_until and by evaluate.train_manifest.

    Raises InputError where a row of a manifest cannot be trained on or scored, and where a side is empty.
    """
    refuse_faults(archive)
    asked = config.evaluate
    target = _members(config, archive, config.archive.name)
    if not asked.train_manifest:
        return Divided(make_split(target, asked.train_until), (archive,))
    other = _training_archive(config.archive, asked.train_manifest)
    refuse_faults(other)
    name = asked.train_archive or f"not {config.archive.name}"
    source = _members(config, other, name)
    return Divided(make_split(target, asked.train_until, source), (other, archive))


def refuse_towers_that_saw(spec: EncoderSpec, table: EmbeddingTable) -> None:
    """Raise InputError where the encoder was pretrained on patients whom the split asks about."""
    if spec.name == "mcr" and spec.source and (record := read_config(spec.source)["training"].get("seen")):
        remedy = "pretrain on this split (jobs/pretrain.py with the same archive and evaluate options)"
        refuse_seen(Seen.from_json(record), table, "the encoder", remedy)


def _training_archive(config: ArchiveConfig, manifest: str) -> Archive:
    return read_archive(config.model_copy(update={"manifest": manifest}))


def _members(config: Config, archive: Archive, name: str) -> Members:
    items = archive.items

    def text(column: str) -> np.ndarray:
        return np.array(pc.fill_null(items[column], "").to_pylist(), dtype=str)

    return Members(
        name,
        item_id=text("item_id"),
        group=text("group"),
        study=text("study_id"),
        text_key=_text_keys(config, items),
        date=text("date"),
        split=text("split"),
    )


def _text_keys(config: Config, items: pa.Table) -> np.ndarray:
    """str[N]: the sha256 of each item's normalised report, "" without one. The store keeps those of report files."""

    def read() -> list[str]:
        return list(_read_text_keys(items.select(["report", "report_uri"]).to_pylist(), config))

    if items["report_uri"].null_count == items.num_rows:
        keys = read()
    else:
        name = files.digest([items[column].to_pylist() for column in ("item_id", "fingerprint")])
        keys = once(split_texts(config.store, name), read)
    return np.array(keys, dtype=str)


def _read_text_keys(rows: Sequence[dict[str, str | None]], config: Config) -> list[str]:
    keys = [""] * len(rows)
    with_report = [i for i, row in enumerate(rows) if row["report"] or row["report_uri"]]
    for i, loaded in zip(with_report, load_items((rows[i] for i in with_report), config.archive.limits)):
        keys[i] = loaded.report_sha256 or ""
    return keys
