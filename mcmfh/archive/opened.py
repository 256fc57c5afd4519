"""An archive as a job sees it: the manifest's rows that can be used, and what is wrong with the others."""

from dataclasses import dataclass

import pyarrow as pa

from mcmfh.archive.manifest import Fault, ManifestPart


@dataclass(frozen=True)
class Archive:
    """A manifest in memory, as training needs it: `items` (with fingerprint, in item order) can be used."""

    items: pa.Table
    faults: list[Fault]
    inputs: int


@dataclass(frozen=True)
class Manifest:
    """A manifest of any length, as bulk jobs read it: a part at a time. `rows`: at most so many in all."""

    uri: str
    parts: list[ManifestPart | None]
    rows: int
