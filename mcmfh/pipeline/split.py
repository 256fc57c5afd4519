"""The split that a configuration asks for, made once from the manifests; everything that trains or scores takes it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcmfh.archive.duplicates import find_picture_twins
from mcmfh.archive.images import Limits
from mcmfh.archive.loading import load_items
from mcmfh.archive.normalise import text_key
from mcmfh.archive.opened import Archive
from mcmfh.config import ArchiveConfig, Config
from mcmfh.embeddings.seen import Seen, refuse_seen
from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.encoders import EncoderSpec
from mcmfh.encoders.fitted import FITTED, fitted_to
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
    limits: Limits  # on the files of all archives: each has its own roots

    def rows(self, role: str) -> pa.Table:
        """The listed items of that role, with the archive that their names hold in as column ARCHIVE."""
        tables = []
        for number, archive in enumerate(self.archives):
            chosen = archive.items.filter(pa.array(self.split.role[self.split.part(number)] == role))
            name = pa.array([self.split.members[number].archive] * chosen.num_rows, pa.string())
            tables.append(chosen.append_column(ARCHIVE, name))
        return pa.concat_tables(tables, promote_options="default")

    def whom(self, *roles: str) -> Seen:
        """Patients, studies and texts of the items of these roles: whom a fit to them sees."""
        split = self.split
        rows = np.isin(split.role, roles)
        archive = split.members[0].archive if len(split.members) == 1 else ""
        return Seen.of(archive, *(names[rows].tolist() for names in (split.patient, split.study, split.text_key)))


def divide(config: Config, archive: Archive, straddling: bool = False) -> Divided:
    """The split of `archive` by the manifest, by evaluate.train_until and by evaluate.train_manifest.

    Raises InputError where a row of a manifest cannot be trained on or scored, and where a side is empty. With
    `straddling` a group may stand on two sides of the manifest's own split.
    """
    if not straddling:
        refuse_faults(archive)
    asked, source = config.evaluate, None
    listed = [_Listed(archive, config.archive)]
    target = listed[0].members(config.store, config.archive.name)
    if asked.train_manifest:
        other = config.archive.model_copy(update={"manifest": asked.train_manifest})
        listed.insert(0, _Listed(read_archive(other), other))
        if not straddling:
            refuse_faults(listed[0].archive)
        source = listed[0].members(config.store, asked.train_archive or f"not {config.archive.name}")
    split = make_split(target, asked.train_until, source, twins=_twins(config, listed), straddling=straddling)
    roots = [each.config.allowed_roots for each in listed]
    every = None if None in roots else tuple(dict.fromkeys(root for each in roots for root in each or ()))
    return Divided(split, tuple(each.archive for each in listed), replace(config.archive.limits, roots=every))


def refuse_towers_that_saw(spec: EncoderSpec, table: EmbeddingTable) -> None:
    """Raise InputError where the encoder was pretrained on patients whom the split asks about."""
    for _, record in fitted_to(spec.source) if spec.name in FITTED and spec.source else ():
        if record is not None:
            remedy = (
                "fit it on this split (jobs/pretrain.py or jobs/lexicon.py with the same archive and evaluate options)"
            )
            refuse_seen(Seen.from_json(record), table, "the encoder", remedy)


@dataclass(frozen=True)
class _Listed:
    """An archive and the configuration that it is read by: its own, where it is the one that trains."""

    archive: Archive
    config: ArchiveConfig

    def members(self, store: str, name: str) -> Members:
        """The listed items; names of patients and studies hold within the archive `name`."""
        items = self.archive.items

        def text(column: str) -> np.ndarray:
            return np.array(pc.fill_null(items[column], "").to_pylist(), dtype=str)

        return Members(
            name,
            item_id=text("item_id"),
            group=text("group"),
            study=text("study_id"),
            text_key=_text_keys(store, items, self.config.limits),
            date=text("date"),
            split=text("split"),
        )


def _twins(config: Config, listed: Sequence[_Listed]) -> Twins:
    """The twins among the pictures of all archives together. The store keeps them, because every picture is read."""
    parts = [
        (each.archive.items.select(["item_id", "fingerprint", "image_uri"]), each.config.limits) for each in listed
    ]
    most = config.evaluate.twins_up_to
    pictures = sum(items.num_rows - items["image_uri"].null_count for items, _ in parts)
    if pictures > most:
        note = f"{pictures:,} pictures are more than evaluate.twins_up_to={most:,}"
        return Twins(_same_files(listed), f"nearly equal pictures were not looked for: {note}")
    contents = [
        [[items[column].to_pylist() for column in items.column_names], asdict(limits)] for items, limits in parts
    ]
    name = files.digest([contents, code_version("archive")])
    compared, pairs = once(split_twins(config.store, name), lambda: find_picture_twins(parts))
    note = f"{compared:,} of {pictures:,} pictures compared for near-duplicates"
    return Twins(np.array(pairs, np.int64).reshape(-1, 2), note)


def _same_files(listed: Sequence[_Listed]) -> np.ndarray:
    """int[P, 2]: of each picture's file that two archives list, its first item with each other one of both archives.

    Within one archive a file of many items may stand for a picture that is not there, and joins nobody.
    """
    columns = [each.archive.items["image_uri"] for each in listed]
    common = columns[0].filter(pc.is_in(columns[0], columns[-1].drop_null().combine_chunks())).unique().drop_null()
    if len(listed) == 1 or not len(common):
        return np.zeros((0, 2), np.int64)
    file = pc.index_in(pa.chunked_array([chunk for each in columns for chunk in each.chunks]), common)
    item = np.flatnonzero(file.is_valid().to_numpy())
    _, first, of_item = np.unique(file.drop_null().to_numpy(), return_index=True, return_inverse=True)
    return np.stack([item[first][of_item], item], axis=1)


def _text_keys(store: str, items: pa.Table, limits: Limits) -> np.ndarray:
    """str[N]: the `text_key` of each item's report, "" without one. The store keeps those of report files."""

    def read() -> list[str]:
        return list(_read_text_keys(items.select(["report", "report_uri"]).to_pylist(), limits))

    if items["report_uri"].null_count == items.num_rows:
        keys = read()
    else:
        contents = [items[column].to_pylist() for column in ("item_id", "fingerprint")]
        name = files.digest([contents, asdict(limits), code_version("archive")])
        keys = once(split_texts(store, name), read)
    return np.array(keys, dtype=str)


def _read_text_keys(rows: Sequence[dict[str, str | None]], limits: Limits) -> list[str]:
    keys = [""] * len(rows)
    with_report = [i for i, row in enumerate(rows) if row["report"] or row["report_uri"]]
    for i, loaded in zip(with_report, load_items((rows[i] for i in with_report), limits)):
        keys[i] = text_key(loaded.report) if loaded.report is not None else ""
    return keys
