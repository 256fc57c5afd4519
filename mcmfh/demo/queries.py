"""The demo's questions: held-out images and reports, asked of the running endpoint over HTTP."""

import base64
from dataclasses import dataclass
from typing import Any

from mcmfh import client
from mcmfh.archive.images import decode_image
from mcmfh.archive.loading import load_item
from mcmfh.archive.opened import Archive
from mcmfh.archive.splits import with_splits
from mcmfh.config import Config
from mcmfh.demo.page import Answered, Found
from mcmfh.search.in_process import LIMITS
from mcmfh.search.retrieval import thumbnail
from mcmfh.store import files

EACH_WAY = 4
SHOWN = 5


@dataclass(frozen=True)
class Question:
    """A test item of the archive, asked by its picture or by its report."""

    item_id: str
    modality: str
    labels: frozenset[str]
    image: bytes
    report: str


def choose_queries(config: Config, archive: Archive) -> list[Question]:
    """EACH_WAY held-out items for each direction, spread over the archive's regions."""
    items = with_splits(archive.items).to_pylist()
    chosen: list[dict[str, Any]] = []
    seen: set[str] = set()
    for item in items:
        if item["split"] == "test" and item["image_uri"] and item["labels"] and item["region"] not in seen:
            loaded = load_item(item, config.archive.limits)
            if loaded.reason is None and loaded.report:
                seen.add(item["region"])
                chosen.append({**item, "text": loaded.report})
        if len(chosen) == 2 * EACH_WAY:
            break
    return [
        Question(
            item["item_id"],
            "image" if number % 2 == 0 else "report",
            frozenset(item["labels"]),
            files.read(item["image_uri"]),
            item["text"],
        )
        for number, item in enumerate(chosen)
    ]


def ask(url: str, question: Question) -> Answered:
    """Send the question to the endpoint at `url` and fetch the pictures of what it found."""
    by_image = question.modality == "image"
    # The archive holds the question's own study, too: it is asked for one more and left out.
    fields: dict[str, Any] = {"k": SHOWN + 1} if by_image else {"k": SHOWN + 1, "report": question.report}
    answer = client.search_endpoint(url, question.image if by_image else None, fields)
    own = _picture(thumbnail(decode_image(question.image, LIMITS)))
    found = [
        Found(
            picture=_picture(client.get(url + hit["image"])) if hit["image"] else None,
            report=hit["report"] or "",
            labels=tuple(hit["labels"]),
            distance=hit["distance"],
            relevant=bool(question.labels & set(hit["labels"])),
        )
        for hit in answer["hits"]
        if hit["item_id"] != question.item_id
    ]
    return Answered(
        modality=question.modality,
        picture=own,
        report=question.report,
        labels=tuple(sorted(question.labels)),
        code=answer["code"][question.modality],
        found=tuple(found[:SHOWN]),
    )


def _picture(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
