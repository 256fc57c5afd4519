"""An opened archive, as jobs take it: in memory for training, in parts for bulk work."""

from dataclasses import dataclass

import pyarrow as pa

from mcmfh.archive.manifest import Fault, ManifestPart


@dataclass(frozen=True)
class Archive:
    """A manifest in memory, as training needs it."""

    items: pa.Table  # usable rows with their fingerprint, in item order
    faults: list[Fault]
    inputs: int  # rows of the manifest


@dataclass(frozen=True)
class Manifest:
    """A manifest of any length, as bulk jobs read it: one part at a time. `rows` is an upper bound of the total."""

    uri: str
    parts: list[ManifestPart | None]
    rows: int
