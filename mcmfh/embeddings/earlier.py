"""Embeddings that earlier versions of this software stored of the same encoder.

A new version may decode pictures or parse reports otherwise, and its encoder digest is then another. Most pictures and
texts come out the same all the same, and so do their vectors: those are taken over (see `bulk.reuse`). Report texts of
an earlier version are removed, because a parser may have been mended that took a patient's name for a text.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pyarrow as pa

from mcmfh.archive.reports import REPORT_POLICY
from mcmfh.embeddings import units
from mcmfh.encoders.spec import EncoderSpec, same_arithmetic, same_encoder
from mcmfh.store import documents, files, layout

_DIGEST_LENGTH = 64  # of a sha256 in hex; other names below embeddings/ are no encoders


def describe(store: str, spec: EncoderSpec) -> None:
    """Store what the digest of `spec` is taken of beside its embeddings, for later versions to compare."""
    uri = layout.encoder_identity(layout.embeddings_folder(store, spec.digest))
    if not files.exists(uri):
        documents.create(uri, spec.identity)


def earlier_encoders(store: str, spec: EncoderSpec) -> list[str]:
    """Digests of the same encoder in other versions of the software; first those whose vectors need no proof."""
    root = layout.embeddings_root(store)
    found = {digest: identity_of(files.join(root, digest)) for digest in files.names(root) if digest != spec.digest}
    same = [digest for digest, identity in found.items() if identity and same_encoder(identity, spec.identity)]
    return sorted(same, key=lambda digest: not same_arithmetic(found[digest], spec.identity))


@lru_cache(maxsize=64)
def needs_proof(embeddings: str, spec: EncoderSpec) -> bool:
    """Whether vectors in `embeddings` were computed by other versions of libraries than those of `spec`."""
    return not same_arithmetic(identity_of(embeddings), spec.identity)


def identity_of(embeddings: str) -> Mapping[str, Any]:
    """What the digest that names the folder is taken of; {} where an early version did not store it."""
    try:
        identity: Mapping[str, Any] = documents.read(layout.encoder_identity(embeddings))
    except FileNotFoundError:
        return {}
    return identity


@dataclass(frozen=True)
class OldTexts:
    """Units of an embeddings folder whose texts an earlier version parsed."""

    embeddings: str
    units: list[str]

    @property
    def marker(self) -> str:
        """The URI of what says that these units have been dealt with."""
        return layout.textless_marker(self.embeddings, files.digest(self.units))


def old_texts(store: str, spec: EncoderSpec) -> Iterator[OldTexts]:
    """What is left of texts that an earlier policy parsed; `spec` is of today."""
    root = layout.embeddings_root(store)
    for digest in files.names(root):
        if len(digest) == _DIGEST_LENGTH and has_old_texts(store, digest, spec):
            folder = files.join(root, digest)
            old = OldTexts(folder, units.done_units(folder))
            if not files.exists(old.marker):
                yield old


def has_old_texts(store: str, digest: str, spec: EncoderSpec) -> bool:
    """Whether texts with the embeddings of the encoder `digest` were parsed by an earlier policy; `spec` is of today.

    A version of this software that stored no identity counts as earlier. A later version's texts are not touched.
    """
    if digest == spec.digest:
        return False
    policy = str(identity_of(layout.embeddings_folder(store, digest)).get("report_policy", ""))
    return _number(policy) < _number(REPORT_POLICY)


def _number(policy: str) -> int:
    number = policy.rpartition("-")[2]
    return int(number) if number.isdigit() else 0


def remove_text(embeddings: str, unit: str) -> bool:
    """Store a unit without its texts; returns whether it had any.

    The marker goes first: where the process dies in between, the unit counts as never done, and its vectors are lost.
    """
    try:
        table = units.read_unit(embeddings, unit)
    except FileNotFoundError:
        return False
    column = table.schema.get_field_index("report")
    if column < 0 or table["report"].null_count == table.num_rows:
        return False
    table = table.set_column(column, "report", pa.nulls(table.num_rows, pa.string()))
    files.delete(layout.unit_marker(embeddings, unit))
    files.delete(layout.unit_uri(embeddings, unit))
    units.write_unit(embeddings, unit, table)
    return True


def finish_removal(old: OldTexts) -> None:
    """Remove the plans of earlier versions, which hold reports of tables, and mark the folder as done."""
    files.delete_tree(layout.earlier_plans(old.embeddings))
    documents.create(old.marker, {})
