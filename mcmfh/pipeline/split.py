"""The split that a configuration asks for, made once from the manifests; everything that trains or scores takes it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcmfh.archive.duplicates import find_picture_twins
from mcmfh.archive.loading import load_items
from mcmfh.archive.normalise import text_key
from mcmfh.archive.opened import Archive
from mcmfh.config import ArchiveConfig, Config
from mcmfh.embeddings.seen import Seen, refuse_seen
from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.encoders import EncoderSpec
from mcmfh.encoders.mcr_towers.bundle import read_config
from mcmfh.evaluation.split import Members, Split, Twins, make_split
from mcmfh.pipeline.archive import read_archive, refuse_faults
from mcmfh.store import files
from mcmfh.store.code_version import code_version
from mcmfh.store.layout import split_texts, split_twins
from mcmfh.store.sealed import once

ARCHIVE = "archive of the item"  # no name that a manifest's filter column would have


@dataclass(frozen=True)
class Divided:
    """A split and the archives that it divides, in its order: what trains stands before what is asked."""

    split: Split
    archives: tuple[Archive, ...]

    def rows(self, role: str) -> pa.Table:
        """The listed items of that role, with the archive that their names hold in as column ARCHIVE."""
        tables = []
        for number, archive in enumerate(self.archives):
            chosen = archive.items.filter(pa.array(self.split.role[self.split.part(number)] == role))
            name = pa.array([self.split.members[number].archive] * chosen.num_rows, pa.string())
            tables.append(chosen.append_column(ARCHIVE, name))
        return pa.concat_tables(tables, promote_options="default")


def divide(config: Config, archive: Archive, straddling: bool = False) -> Divided:
    """The split of `archive` by the manifest, by evaluate.train_until and by evaluate.train_manifest.

    Raises InputError where a row of a manifest cannot be trained on or scored, and where a side is empty. With
    `straddling` a group may stand on two sides of the manifest's own split.
    """
    if not straddling:
        refuse_faults(archive)
    asked = config.evaluate
    target = _members(config, archive, config.archive.name)
    if not asked.train_manifest:
        split = make_split(target, asked.train_until, twins=_twins(config, [archive]), straddling=straddling)
        return Divided(split, (archive,))
    other = _training_archive(config.archive, asked.train_manifest)
    refuse_faults(other)
    name = asked.train_archive or f"not {config.archive.name}"
    source = _members(config, other, name)
    archives = (other, archive)
    return Divided(make_split(target, asked.train_until, source, twins=_twins(config, archives)), archives)


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


def _twins(config: Config, archives: Sequence[Archive]) -> Twins:
    """The twins among the pictures of all archives together. The store keeps them, because every picture is read."""
    items = pa.concat_tables([each.items.select(["item_id", "fingerprint", "image_uri"]) for each in archives])
    most, pictures = config.evaluate.twins_up_to, items.num_rows - items["image_uri"].null_count
    if pictures > most:
        note = f"{pictures:,} pictures are more than evaluate.twins_up_to={most:,}"
        return Twins.none(f"nearly equal pictures were not looked for: {note}")
    limits = config.archive.limits
    contents = [items[column].to_pylist() for column in items.column_names]
    name = files.digest([contents, asdict(limits), code_version("archive")])
    compared, pairs = once(split_twins(config.store, name), lambda: find_picture_twins(items, limits))
    note = f"{compared:,} of {pictures:,} pictures compared for near-duplicates"
    return Twins(np.array(pairs, np.int64).reshape(-1, 2), note)


def _text_keys(config: Config, items: pa.Table) -> np.ndarray:
    """str[N]: the `text_key` of each item's report, "" without one. The store keeps those of report files."""

    def read() -> list[str]:
        return list(_read_text_keys(items.select(["report", "report_uri"]).to_pylist(), config))

    if items["report_uri"].null_count == items.num_rows:
        keys = read()
    else:
        contents = [items[column].to_pylist() for column in ("item_id", "fingerprint")]
        name = files.digest([contents, code_version("archive")])
        keys = once(split_texts(config.store, name), read)
    return np.array(keys, dtype=str)


def _read_text_keys(rows: Sequence[dict[str, str | None]], config: Config) -> list[str]:
    keys = [""] * len(rows)
    with_report = [i for i, row in enumerate(rows) if row["report"] or row["report_uri"]]
    for i, loaded in zip(with_report, load_items((rows[i] for i in with_report), config.archive.limits)):
        keys[i] = text_key(loaded.report) if loaded.report is not None else ""
    return keys
