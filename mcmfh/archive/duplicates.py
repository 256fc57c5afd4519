"""Finds twins in a manifest: pictures that are nearly equal and reports that are equal.

Twins on two sides of a split leak test items into training and inflate every score.

A picture's code has 128 bits, a difference hash: whether each cell of a coarse grid is darker than its right and its
lower neighbour. Pictures within RADIUS bits of each other, by the project's own Hamming engine, are candidates. Twins
are candidates whose 16 × 16 thumbnails also correlate.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from PIL import Image

from mcmfh.archive.images import DecodeError, Limits
from mcmfh.archive.loading import Loaded, load_items
from mcmfh.archive.manifest import Fault
from mcmfh.archive.modality import Modality
from mcmfh.archive.normalise import text_key
from mcmfh.archive.splits import merge_groups
from mcmfh.hamming import HammingIndex

BITS, RADIUS, CORRELATION = 128, 10, 0.99
_GRID, _THUMBNAIL, _NEIGHBOURS = 8, 16, 16
_BLOCK = 500_000  # pairs of pictures compared at a time
_STEP = 2  # grey levels that count as an edge; compression noise on a flat background is smaller
_CLEANEST = ("train", "validation", "test")  # a group on several sides takes the first of these


class Twins(NamedTuple):
    """Two row positions of a table, first < second."""

    first: int
    second: int
    kind: Modality


def find_duplicates(table: pa.Table, limits: Limits = Limits()) -> list[Twins]:  # noqa: B008 (frozen)
    """Pairs of twins among the rows of a table from `read_manifest`; the pairs connect every set of twins.

    Reads and decodes every picture once. Items that cannot be decoded are skipped.
    """
    texts = {}
    pictures = _Pictures()
    items = table.select(["image_uri", "report", "report_uri"]).to_pylist()
    for position, loaded in enumerate(load_items(items, limits)):
        pictures.add(position, loaded)
        if loaded.report is not None:
            texts[position] = loaded.report
    images = [Twins(first, second, "image") for first, second in pictures.twins()]
    return sorted([*images, *report_twins(texts.items())])


def find_picture_twins(parts: Sequence[tuple[pa.Table, Limits]]) -> tuple[int, list[tuple[int, int]]]:
    """(number of pictures that were compared, their twins as row positions first < second).

    Each part is a table with `image_uri` and the limits that its pictures are read within; row positions count through
    all parts. Every picture is read and decoded once, and no report. Pictures that cannot be decoded are not compared.
    """
    pictures, start = _Pictures(), 0
    for table, limits in parts:
        with_picture = np.flatnonzero(table["image_uri"].is_valid().to_numpy())
        items = table.select(["image_uri"]).take(pa.array(with_picture)).to_pylist()
        for position, loaded in zip((start + with_picture).tolist(), load_items(items, limits)):
            pictures.add(position, loaded)
        start += table.num_rows
    return len(pictures.positions), pictures.twins()


class _Pictures:
    """The codes and thumbnails of a table's pictures, with the rows that they stand in."""

    def __init__(self) -> None:
        self.positions: list[int] = []
        self.codes: list[np.ndarray] = []
        self.thumbnails: list[np.ndarray] = []

    def add(self, position: int, loaded: Loaded) -> None:
        if loaded.image is not None:
            thumbnail, code = perceptual_code(loaded.image)
            self.positions.append(position)
            self.thumbnails.append(thumbnail)
            self.codes.append(code)

    def twins(self) -> list[tuple[int, int]]:
        if not self.codes:
            return []
        pairs = image_twins(np.array(self.codes, np.uint8), np.array(self.thumbnails))
        return [(self.positions[first], self.positions[second]) for first, second in pairs]


def perceptual_code(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(thumbnail float32[256] with mean 0 and L2 norm 1, difference hash uint8[16])."""
    grey = Image.fromarray(image).convert("L")
    grid = np.asarray(grey.resize((_GRID + 1, _GRID + 1), Image.Resampling.BOX), np.int16)
    right, lower = grid[:-1, 1:] > grid[:-1, :-1] + _STEP, grid[1:, :-1] > grid[:-1, :-1] + _STEP
    small = np.asarray(grey.resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX), np.float32).ravel()
    small -= small.mean()
    bits = np.concatenate([right.ravel(), lower.ravel()])
    return small / max(float(np.linalg.norm(small)), 1e-6), np.packbits(bits, bitorder="little")


def image_twins(codes: np.ndarray, thumbnails: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, of codes uint8[N, 16] within RADIUS whose thumbnails float32[N, 256] correlate.

    Of pictures that are equal in both, the first one is paired with each other one and with what resembles it. The
    pairs connect every set of twins, however many pictures share a code. A picture without any contrast has no twins.
    """
    whole = np.concatenate([codes, np.ascontiguousarray(thumbnails).view(np.uint8)], axis=1)
    _, first, of_item = np.unique(whole, axis=0, return_index=True, return_inverse=True)
    item, equal = np.arange(len(codes)), first[of_item.ravel()]
    contrast = np.any(thumbnails != 0, axis=1)
    copies = (item != equal) & contrast
    kept = np.sort(first[contrast[first]])
    found = [np.stack([equal[copies], item[copies]], axis=1)]
    for one, other in _near(codes[kept]):
        pairs = np.stack([kept[one], kept[other]], axis=1)
        alike = np.einsum("pd,pd->p", thumbnails[pairs[:, 0]], thumbnails[pairs[:, 1]]) >= CORRELATION
        found.append(pairs[alike])
    return [(int(low), int(high)) for low, high in np.unique(np.concatenate(found), axis=0)]


def _near(codes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of all pairs (i, j), i < j, of codes within RADIUS, as int64[P] each."""
    index, rows, k = HammingIndex(codes, bits=BITS), np.arange(len(codes)), min(_NEIGHBOURS, len(codes))
    while len(rows):
        crowded = []
        for block in np.array_split(rows, -(-len(rows) * k // _BLOCK)):
            distances, neighbours = index.search(codes[block], k=k)
            # Where all k neighbours are near there may be more of them.
            more = (distances[:, -1] <= RADIUS) & (k < len(codes))
            crowded.append(block[more])
            one = np.repeat(block[~more], k)
            other = neighbours[~more].ravel()
            near = (distances[~more].ravel() <= RADIUS) & (one < other)
            yield one[near], other[near]
        rows, k = np.concatenate(crowded), min(4 * k, len(codes))


def report_twins(texts: Iterable[tuple[int, str]]) -> list[Twins]:
    """Pairs each text with the first equal one, ignoring letter case and white space. texts: (position, text)."""
    earliest: dict[str, int] = {}
    twins = []
    for position, text in texts:
        try:
            key = text_key(text)
        except DecodeError:
            continue
        if (first := earliest.setdefault(key, position)) != position:
            twins.append(Twins(first, position, "report"))
    return twins


def straddling_twins(table: pa.Table, twins: Sequence[Twins]) -> list[Fault]:
    """A non-fatal fault for each pair of twins on two sides of a split."""
    split, rows, ids = (table[name].to_pylist() for name in ("split", "row", "item_id"))
    return [
        Fault(
            rows[one.second], ids[one.second], f"{one.kind} is that of row {rows[one.first]}, in another split", False
        )
        for one in twins
        if split[one.first] and split[one.second] and split[one.first] != split[one.second]
    ]


def merge_duplicates(table: pa.Table, twins: Sequence[Twins]) -> pa.Table:
    """The table with twins merged into one group. A group on several sides moves to training, else to validation."""
    groups = merge_groups(table["group"].to_pylist(), [(one.first, one.second) for one in twins])
    splits = table["split"].to_pylist()
    side: dict[str, str] = {}
    for group, split in zip(groups, splits):
        if split in _CLEANEST:
            side[group] = min(split, side.get(group, split), key=_CLEANEST.index)
    merged = [side.get(group, split) if split else split for group, split in zip(groups, splits)]
    for name, values in (("group", groups), ("split", merged)):
        table = table.set_column(table.column_names.index(name), name, pa.array(values, pa.string()))
    return table
