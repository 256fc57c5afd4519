"""How much of an archive a figure covers: the items that are listed, and those of them that are embedded."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Coverage:
    """Items by split, "" where a row names none."""

    listed: Mapping[str, int]
    embedded: Mapping[str, int]

    @classmethod
    def count(cls, listed: Iterable[str], embedded: Iterable[str]) -> "Coverage":
        """Of the splits of all items, and of the embedded ones."""
        return cls(dict(sorted(Counter(listed).items())), dict(sorted(Counter(embedded).items())))

    def of(self, *splits: str) -> tuple[int, int]:
        """(embedded, listed) items of these splits; of all for ()."""
        embedded, listed = (
            sum(count for split, count in each.items() if not splits or split in splits)
            for each in (self.embedded, self.listed)
        )
        return embedded, listed

    def sentence(self, *splits: str) -> str:
        """Such as "embedded 90 of 150 items"."""
        embedded, listed = self.of(*splits)
        return f"embedded {embedded:,} of {listed:,} items"
