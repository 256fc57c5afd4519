"""Small archives with everything that may go wrong, drawn at random, and what a split says of them, item by item.

Labels are partly missing, studies have several items, texts and pictures repeat within and across patients, some items
have one modality, some are not embedded, dates have any precision, and two archives use the same names. An item is a
plain record: the reference below reads nothing of the package.
"""

import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from support.embedded import write_manifest

from mcmfh.embeddings.table import EmbeddingTable, label_matrix

WIDTHS = {"image": 48, "report": 32}
LABELS = ("organ:a", "organ:b", "find:c", "find:d")
DATES = ("", "2014", "2015", "2014-12", "2015-01", "2015-02", "2014-12-31", "2015-01-01", "2015-01-31", "2016-07-09")
CUT = "2015-01-15"


@dataclass
class Item:
    archive: str
    item_id: str
    group: str
    study: str
    text: str  # "" without a report
    picture: int | None
    labels: frozenset[str]
    date: str
    split: str
    embedded: bool = True
    role: str = ""

    def joined_by(self) -> set[tuple[str, ...]]:
        """What puts two items on one side: METHOD.md, section 4, "Splits by patient or case group"."""
        names: set[tuple[str, ...]] = {("patient", self.archive, self.group), ("study", self.archive, self.study)}
        names |= {("text", self.text.lower())} if self.text else set()
        return names | ({("picture", str(self.picture))} if self.picture is not None else set())


@dataclass
class DrawnArchive:
    name: str
    items: list[Item] = field(default_factory=list)

    @classmethod
    def draw(cls, name: str, seed: int, size: int, splits: bool) -> "DrawnArchive":
        rng = np.random.default_rng(seed)
        seldom = rng.choice([1, 4, 12])  # how seldom a name, text or picture repeats
        side = {f"p{g}": str(rng.choice(["train", "train", "validation", "test", ""])) for g in range(size * 6)}
        archive = cls(name)
        for i in range(size):
            group = f"p{rng.integers(0, max(2, size * seldom // 2))}"
            study = f"s{i}" if rng.random() < 0.6 else f"s{rng.integers(0, size * seldom)}"
            text = f"T{rng.integers(0, 3 * size * seldom)}"
            picture = int(rng.integers(0, 60 * seldom))
            kind = rng.random()
            labels = frozenset(label for label in LABELS if rng.random() < 0.35) if rng.random() < 0.7 else frozenset()
            archive.items.append(
                Item(
                    name,
                    f"i{i}",
                    group,
                    study,
                    "" if kind < 0.12 else text if rng.random() < 0.8 else text.lower(),
                    None if 0.12 <= kind < 0.24 else picture,
                    labels,
                    str(rng.choice(DATES)),
                    side[group] if splits else "",
                    bool(rng.random() < 0.85),
                )
            )
        return archive

    def table(self) -> EmbeddingTable:
        """The items as a table; vectors are made of the contents, so equal contents have equal vectors."""
        matrix, names = label_matrix([sorted(item.labels) for item in self.items], LABELS)
        return EmbeddingTable(
            item_id=np.array([item.item_id for item in self.items]),
            image=np.array([vector(item, "image") for item in self.items], np.float32),
            report=np.array([vector(item, "report") for item in self.items], np.float32),
            has_image=np.array([item.picture is not None for item in self.items]),
            has_report=np.array([item.text != "" for item in self.items]),
            split=np.array([item.split for item in self.items]),
            text_key=np.array([item.text for item in self.items]),
            labels=matrix,
            label_names=names,
            group=np.array([item.group for item in self.items]),
            study=np.array([item.study for item in self.items]),
            date=np.array([item.date for item in self.items]),
        )

    def write(self, folder: Path) -> Path:
        """The manifest in a folder of its own, with its pictures."""
        folder = folder / self.name
        folder.mkdir(exist_ok=True)
        for item in self.items:
            if item.picture is not None:
                grid = np.random.default_rng(item.picture).integers(0, 255, (9, 9)).astype(np.uint8)
                Image.fromarray(grid).resize((45, 45), Image.Resampling.NEAREST).save(folder / f"{item.item_id}.png")
        return write_manifest(folder, self.table())

    def embedded_rows(self) -> np.ndarray:
        return np.flatnonzero([item.embedded for item in self.items])


def vector(item: Item, modality: str) -> np.ndarray:
    """float32[D] of the item's picture or text; zeros without one."""
    content = item.picture if modality == "image" else item.text
    if content is None or content == "":
        return np.zeros(WIDTHS[modality], np.float32)
    seed = zlib.crc32(f"{modality} {content}".encode())
    return np.random.default_rng(seed).standard_normal(WIDTHS[modality]).astype(np.float32)


def components(items: list[Item]) -> list[int]:
    """The number of each item's component: items are joined by patient, study, text or picture, also through others."""
    number = list(range(len(items)))
    for i, one in enumerate(items):
        for j, other in enumerate(items[:i]):
            if one.joined_by() & other.joined_by():
                old, new = number[i], number[j]
                number = [new if each == old else each for each in number]
    return number


def side_of(date: str) -> str:
    """Before CUT, from it on, or "" where the date does not tell."""
    if not date:
        return ""
    first, last = (date + "-01-01"[len(date) - 4 :], date + "-12-31"[len(date) - 4 :])
    return "early" if last < CUT else "late" if first >= CUT else ""


def expected_sides(target: list[Item], source: list[Item] | None, until: bool) -> tuple[set[int], set[int]]:
    """(positions that train or validate, positions that are asked about) in source + target, by METHOD.md alone."""
    items = (source or []) + target
    number = components(items)
    early = {i for i, item in enumerate(items) if not until or side_of(item.date) == "early"}
    late = {i for i, item in enumerate(items) if not until or side_of(item.date) == "late"}
    first = len(source or [])
    if source is None:
        trained = {number[i] for i in early}
        return early, {i for i in late if number[i] not in trained}
    asked = {i for i in late if i >= first}
    theirs = {number[i] for i in asked}
    return {i for i in early if i < first and number[i] not in theirs}, asked
