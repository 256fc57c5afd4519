"""A receipt, replayed: the same hits from the same snapshot, or what has changed since."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError, model_validator

from mcmfh.archive.modality import Modality
from mcmfh.errors import InputError
from mcmfh.search.nearest import Target
from mcmfh.search.opening import latest
from mcmfh.search.query import MOST_HITS
from mcmfh.search.ranking import ranked
from mcmfh.search.receipts import FORMAT, NamedHits, asked, hits_digest
from mcmfh.search.retrieval import OpenSource, open_local
from mcmfh.snapshots.document import read_snapshot, snapshot_numbers
from mcmfh.store import documents
from mcmfh.store.layout import ARCHIVE_NAME


@dataclass(frozen=True)
class Replayed:
    """Whether the hits are those of the receipt, and in words what was replayed or has changed."""

    same: bool
    sentences: list[str]


Hex = Annotated[str, Field(pattern="^([0-9a-f]{2})+$")]


class _Stated(BaseModel):
    """What a receipt must state to be replayed: its digest holds no secret, so that anybody may write another."""

    archive: Annotated[str, Field(pattern=ARCHIVE_NAME)] | None = None
    snapshot: int
    snapshot_digest: str
    bundle_digest: str
    hits: str
    code: dict[Modality, Hex] = Field(min_length=1)
    k: int = Field(ge=1, le=MOST_HITS)
    target: Target
    bits: int
    max_distance: int | None
    where: dict[str, Any]
    scope: dict[str, Any] = {}
    rerank: int | None
    logits: dict[str, Hex]

    @model_validator(mode="after")
    def _check_logits(self) -> "_Stated":
        lengths = {len(values) // 8 for values in self.logits.values() if len(values) % 8 == 0}
        if lengths != (set() if self.rerank is None else {self.rerank}):
            raise ValueError("the logits have another length")
        return self


class _Hit(BaseModel):
    item_id: str


class _Answered(BaseModel):
    hits: list[_Hit] | None = None


def read_receipt(path: Path) -> tuple[dict[str, Any], list[str] | None]:
    """(the verified receipt in a file, the item_ids of the hits beside it); a file that is a receipt alone has no hits.

    Raises InputError for a file that is no receipt, and for a receipt that was changed.
    """
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"receipt '{path}' does not exist; give the file of an answer, or of its receipt") from None
    except OSError as error:
        raise InputError(f"receipt '{path}' cannot be read ({type(error).__name__}); give the file of one") from None
    except (ValueError, RecursionError):
        raise InputError(f"'{path}' is not JSON; give the file of an answer, or of its receipt") from None
    answer = value if isinstance(value, dict) else {}
    fields = answer.get("receipt", answer)
    if not isinstance(fields, dict) or not {"format", "snapshot_digest", "digest", "hits"} <= fields.keys():
        raise InputError(f"'{path}' holds no receipt; give the file of an answer, or of its receipt")
    if fields["format"] != FORMAT:
        raise InputError(f"receipt '{path}' has format {fields['format']}; this version replays {FORMAT}")
    receipt: dict[str, Any] = documents.opened(str(path), json.dumps(fields).encode())
    try:
        _Stated.model_validate(receipt)
        answered = _Answered.model_validate(answer if "receipt" in answer else {})
    except ValidationError as error:
        fault = error.errors(include_input=False)[0]
        field = ".".join(map(str, fault["loc"])) or "rerank"
        raise InputError(f"'{path}' is no receipt that the endpoint gave: {field}: {fault['msg']}") from None
    return receipt, None if answered.hits is None else [hit.item_id for hit in answered.hits]


def replay(
    root: str, receipt: Mapping[str, Any], item_ids: list[str] | None = None, open_source: OpenSource = open_local
) -> Replayed:
    """Ask the archive at `root` what the receipt asked: its own snapshot or, where that is gone, the newest.

    item_ids: of the answer's hits, to say which of them differ.
    """
    number = _kept(root, receipt)
    if number is not None:
        hits = _hits(root, number, receipt, open_source)
        where = f"snapshot {number} ({receipt['snapshot_digest'][:12]}), model {receipt['bundle_digest'][:12]}"
        if hits_digest(hits) == receipt["hits"]:
            return Replayed(True, [f"reproduced: the same {len(hits)} hits, ties included, from {where}"])
        return Replayed(False, [f"not reproduced, although {where} is the same", *_differences(hits, item_ids)])
    sentences = [
        f"snapshot {receipt['snapshot']} ({receipt['snapshot_digest'][:12]}) is no longer kept, or is another "
        "archive's; a receipt can be replayed as long as its snapshot is"
    ]
    newest, document = latest(root)
    if document.bundle_digest != receipt["bundle_digest"]:
        sentences.append(
            f"the model has changed from {receipt['bundle_digest'][:12]} to {document.bundle_digest[:12]}, so the code "
            "of the query is another"
        )
        return Replayed(False, sentences)
    hits = _hits(root, newest, receipt, open_source)
    if hits_digest(hits) == receipt["hits"]:
        sentences.append(f"the newest snapshot, {newest}, has the same {len(hits)} hits")
    else:
        sentences += [f"the newest snapshot, {newest}, has other hits", *_differences(hits, item_ids)]
    return Replayed(False, sentences)


def _kept(root: str, receipt: Mapping[str, Any]) -> int | None:
    """The number of the snapshot with the receipt's digest: its own number first; None where none is kept."""
    numbers = snapshot_numbers(root)
    for number in sorted(numbers, key=lambda number: (number != receipt["snapshot"], -number)):
        if read_snapshot(root, number).digest == receipt["snapshot_digest"]:
            return number
    return None


def _hits(root: str, number: int, receipt: Mapping[str, Any], open_source: OpenSource) -> NamedHits:
    source = open_source(root, number)
    hits, scores = ranked(source, asked(receipt))
    items = source.items(hits.rows.tolist())
    return [(item["item_id"], *numbers) for item, *numbers in zip(items, hits.distances.tolist(), scores)]


def _differences(hits: NamedHits, item_ids: list[str] | None) -> list[str]:
    """What is gone, new or elsewhere among the hits, by counts: the terminal may be seen by others."""
    if item_ids is None:
        return ["give the file of the whole answer to see which hits differ"]
    now = [hit[0] for hit in hits]
    gone, new = set(item_ids) - set(now), set(now) - set(item_ids)
    both = [(item_ids.index(item), now.index(item)) for item in item_ids if item not in gone]
    moved = sum(before != after for before, after in both)
    return [f"{len(gone)} hits are gone, {len(new)} are new, {moved} have another rank"]
