"""The line under every table: what the figures were made from, and the command that makes them again."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mcmfh.store import files

_SHOWN = 12  # characters of a digest
# Said on every page and model card, because a model that no label of its archive chose still owes something to labels.
CONSTANTS = (
    "The constants of the recipes were chosen with labelled validation items of one archive, of MedPix pictures. On "
    "other archives they stay the same, and what is chosen there, the teacher, is chosen without labels."
)
# A string that YAML reads as that string, without quotes.
_BARE = re.compile(r"(?!(?:true|false|null|yes|no|on|off)$)[A-Za-z./][\w./:@+-]*")


@dataclass(frozen=True)
class Provenance:
    """All that a page's figures depend on. Digests are sha256 in hex."""

    archive: str  # digest of the columns and contents that were read
    embedded: tuple[int, int] | None  # (embedded, listed) items, where they are listed
    split: str  # digest; "" without a split
    encoder: str  # name and digest
    settings: str  # digest
    seeds: tuple[int, ...]  # () where nothing is drawn
    code: str  # version of the code
    job: str  # such as "jobs/evaluate.py"
    overrides: tuple[str, ...]  # of the configuration's defaults, each section.key=value

    @property
    def command(self) -> str:
        """What makes the same figures, as a shell takes it."""
        return f"python {self.job} {shlex.join(self.overrides)}".rstrip()

    def line(self) -> str:
        """One line of text."""
        embedded = ["embedded {:,} of {:,}".format(*self.embedded)] if self.embedded else []
        parts = (
            f"archive {self.archive[:_SHOWN] or 'not recorded'}",
            *embedded,
            f"split {self.split[:_SHOWN] or 'as given'}",
            f"encoder {self.encoder}",
            f"settings {self.settings[:_SHOWN]}",
            f"seeds {', '.join(map(str, self.seeds)) or 'none'}",
            f"code {self.code}",
            self.command,
        )
        return " · ".join(parts)

    def differences(self, other: "Provenance") -> list[str]:
        """What `other` was made from that is not the same; the command does not count."""
        names = ("archive", "embedded", "split", "encoder", "settings", "seeds", "code")
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in names}
        return [f"{name}: {_short(was)} then, {_short(now)} now" for name, (was, now) in pairs.items() if was != now]

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` gives the same provenance back."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Provenance":
        lists = {name: tuple(document[name]) for name in ("seeds", "overrides")}
        embedded = tuple(document["embedded"]) if document["embedded"] else None
        return cls(**{**document, **lists, "embedded": embedded})


def overrides_of(section: str, values: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """The overrides that turn `defaults` of a configuration's section ("": its top) into `values`; both are JSON."""
    prefix = f"{section}." if section else ""
    return [f"{prefix}{key}={_as_yaml(value)}" for key, value in values.items() if value != defaults.get(key)]


def _as_yaml(value: Any) -> str:
    if isinstance(value, str) and _BARE.fullmatch(value):
        return value
    return files.canonical_json(value).decode()


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return " of ".join(map(str, value)) if len(value) == 2 else ", ".join(map(str, value))
    return str(value)[:40]
