"""The document of a snapshot, `snapshots/<number>.json`, and what a job that publishes the next one is given."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from mcmfh.errors import InputError
from mcmfh.snapshots.shards import Shard
from mcmfh.store import files, numbered
from mcmfh.store.layout import bundles_folder, snapshots_folder, store_of
from mcmfh.store.relative import named, sealed_address

FORMAT = 1


class UnknownFormat(InputError):
    """A snapshot of a later version."""


@dataclass(frozen=True)
class Model:
    """What hashed the codes, as every snapshot states it."""

    bundle: str  # URI
    bundle_digest: str
    code_digest: str
    encoder_digest: str
    bits: tuple[int, ...]


@dataclass(frozen=True)
class SnapshotDocument:
    """One state of an archive: ordered shards, the bitmap of removed rows, the model and what is kept of an item."""

    parent: int | None  # number of the snapshot that was the newest when this one was published
    shards: tuple[Shard, ...]
    tombstones: str | None  # name of the bitmap; None where no row is removed
    rows: int  # of all shards, removed ones included
    items: int  # rows that are not removed
    quarantine: tuple[str, ...]  # names of the quarantine files
    quarantined: int  # rows in these
    filters: tuple[str, ...]  # the declared columns that queries may filter by
    bundle: str  # relative to the store, or the URI of a bundle outside; see `bundle_address`
    bundle_digest: str
    code_digest: str
    encoder_digest: str
    bits: tuple[int, ...]
    keep_reports: bool = True  # whether report texts are stored
    format: int = FORMAT

    def to_json(self) -> dict[str, Any]:
        """What stands in the file."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "SnapshotDocument":
        """The document that stands in a file. Raises UnknownFormat: its fields may mean something else."""
        if value.get("format", FORMAT) != FORMAT:
            raise UnknownFormat(f"the snapshot has format {value['format']}; this version reads {FORMAT}; update mcmfh")
        lists = {name: tuple(value[name]) for name in ("quarantine", "filters", "bits")}
        return cls(**{**value, **lists, "shards": tuple(Shard(**shard) for shard in value["shards"])})

    @property
    def digest(self) -> str:
        """sha256 of the document: names the snapshot wherever its number would not do."""
        return files.digest(self.to_json())

    def files(self) -> set[str]:
        """Names of the files, in whatever folder, that the snapshot needs."""
        names = {f"{name}.parquet" for name in self.quarantine}
        if self.tombstones:
            names.add(self.tombstones)
        return names.union(*(shard.files() for shard in self.shards))


@dataclass(frozen=True)
class Publication:
    """What every step of publishing a snapshot is given: where, by which model, on what, and what is kept."""

    root: str  # of the archive
    embeddings: str  # folder of the embeddings that are hashed
    model: Model
    previous: SnapshotDocument | None  # the snapshot to build on; None: all is hashed anew
    filters: tuple[str, ...] = ()
    keep_reports: bool = True


def bundle_address(root: str, document: SnapshotDocument) -> str:
    """The URI of the bundle of a snapshot of the archive at `root`."""
    store = store_of(root)
    return sealed_address(store, document.bundle, bundles_folder(store))


def model_of(root: str, model: Model) -> Model:
    """`model` as a snapshot of the archive at `root` states it."""
    return replace(model, bundle=named(store_of(root), model.bundle))


def snapshot_numbers(root: str) -> list[int]:
    """The numbers of an archive's snapshots, ascending."""
    return numbered.numbers(snapshots_folder(root))


def read_snapshot(root: str, number: int) -> SnapshotDocument:
    """The document of snapshot `number`. Raises FileNotFoundError."""
    return SnapshotDocument.from_json(numbered.get(snapshots_folder(root), number))


def newest_snapshot(root: str) -> tuple[int, SnapshotDocument] | None:
    """(number, document) of the newest snapshot, or None where there is none."""
    head = numbered.head(snapshots_folder(root))
    return (head[0], SnapshotDocument.from_json(head[1])) if head else None
