"""Whom a training saw: its patients, studies and texts as a set of hashes, stored with what was trained.

Names are hashed, so that a bundle lists no patient; whoever has a name can still ask whether it is in the set.
"""

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.errors import InputError
from mcmfh.store import files

_BYTES = 6  # of a hash: among a million names, one in 10⁸ unknown ones is taken for known
_PATIENT, _STUDY, _TEXT = "patient", "study", "text"


@dataclass(frozen=True)
class Seen:
    """`members` uint64[M], sorted: the first 48 bits of the sha256 of each name."""

    members: np.ndarray

    @classmethod
    def of(cls, archive: str, patient: Iterable[str], study: Iterable[str], text_key: Iterable[str]) -> "Seen":
        """The set of these names; patients and studies are those of `archive` ("": qualified by it already)."""
        hashes = [
            _hashes(_PATIENT, archive, patient),
            _hashes(_STUDY, archive, study),
            _hashes(_TEXT, "", (key for key in text_key if key)),
        ]
        return cls(np.unique(np.concatenate(hashes)))

    @classmethod
    def of_table(cls, table: EmbeddingTable) -> "Seen":
        """Whom a training on all items of `table` sees."""
        return cls.of(table.archive, *(each.tolist() for each in (_patient(table), table.study, table.text_key)))

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Seen":
        """The inverse of `to_json`."""
        raw = np.frombuffer(base64.b64decode(record["members"]), np.uint8).reshape(-1, _BYTES)
        return cls(_as_numbers(raw))

    def to_json(self) -> dict[str, Any]:
        """The set and its digest, as config.json of a bundle and of towers holds it."""
        raw = self.members.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :_BYTES].tobytes()
        return {"digest": files.digest(raw), "members": base64.b64encode(raw).decode()}

    def people(self, archive: str, patient: np.ndarray, study: np.ndarray) -> np.ndarray:
        """bool[N]: items whose patient or study was seen."""
        seen: np.ndarray = self._has(_PATIENT, archive, patient) | self._has(_STUDY, archive, study)
        return seen

    def texts(self, text_key: np.ndarray) -> np.ndarray:
        """bool[N]: items whose text was seen, whoever's it is."""
        seen: np.ndarray = self._has(_TEXT, "", text_key) & (text_key != "")
        return seen

    def _has(self, kind: str, archive: str, names: np.ndarray) -> np.ndarray:
        known: np.ndarray = np.isin(_hashes(kind, archive, names.tolist()), self.members)
        return known


def refuse_seen(seen: Seen | None, table: EmbeddingTable, culprit: str, remedy: str, query_split: str = "test") -> None:
    """Raise InputError where `seen` holds patients or studies of the items that are asked about.

    `culprit` was trained on `seen` (None: that was not recorded), `remedy` says what to do instead.
    """
    if seen is None:
        return
    asked = table.of_split(query_split)
    known = seen.people(asked.archive, _patient(asked), asked.study)
    if known.any():
        raise InputError(
            f"{culprit} was trained on the patients of {known.sum():,} of {len(asked):,} items that are asked about "
            f"(first: '{asked.item_id[known][0]}'); {remedy}"
        )


def _patient(table: EmbeddingTable) -> np.ndarray:
    return table.group if table.patient is None else table.patient


def _hashes(kind: str, archive: str, names: Iterable[str]) -> np.ndarray:
    """uint64[N]."""
    prefix = f"{kind}:{archive}/" if archive else f"{kind}:"
    digests = (hashlib.sha256(f"{prefix}{name}".encode()).digest()[:_BYTES] for name in names)
    return _as_numbers(np.frombuffer(b"".join(digests), np.uint8).reshape(-1, _BYTES))


def _as_numbers(raw: np.ndarray) -> np.ndarray:
    """uint64[N] of uint8[N, _BYTES], little-endian."""
    numbers: np.ndarray = np.pad(raw, ((0, 0), (0, 8 - _BYTES))).view("<u8").ravel()
    return numbers
