"""What a caller may see of an archive."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mcmfh.store import files


@dataclass(frozen=True)
class View:
    """The items that meet the conditions `scope` (see `masks`); with `content` also their reports and pictures."""

    scope: Mapping[str, Any] = field(default_factory=dict)
    content: bool = True

    @property
    def key(self) -> str:
        """The scope as canonical JSON."""
        return files.canonical_json(self.scope).decode()


EVERYTHING = View()
