"""The demo's queries: held-out images and reports, sent to the running endpoint over HTTP."""

import base64
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from mcmfh import client
from mcmfh.archive.images import decode_image
from mcmfh.archive.loading import load_item
from mcmfh.archive.opened import Archive
from mcmfh.config import Config
from mcmfh.demo.page import AnsweredQuery, Hit
from mcmfh.pipeline.split import divide
from mcmfh.search.in_process import LIMITS
from mcmfh.search.retrieval import thumbnail
from mcmfh.store import files

EACH_WAY = 4
SHOWN = 5
FAMILIES = ("finding", "region")  # of the phantom's labels, from fine to coarse


@dataclass(frozen=True)
class DemoQuery:
    """A test item of the archive, whose picture or whose report is the query."""

    item_id: str
    modality: str
    labels: frozenset[str]
    image: bytes
    report: str


def choose_queries(config: Config, archive: Archive) -> list[DemoQuery]:
    """EACH_WAY held-out items for each direction, spread over the archive's regions."""
    items = divide(config, archive).rows("test").to_pylist()
    chosen: list[dict[str, Any]] = []
    seen: set[str] = set()
    for item in items:
        if item["image_uri"] and item["labels"] and item["region"] not in seen:
            loaded = load_item(item, config.archive.limits)
            if loaded.reason is None and loaded.report:
                seen.add(item["region"])
                chosen.append({**item, "text": loaded.report})
        if len(chosen) == 2 * EACH_WAY:
            break
    return [
        DemoQuery(
            item["item_id"],
            "image" if number % 2 == 0 else "report",
            frozenset(item["labels"]),
            files.read(item["image_uri"]),
            item["text"],
        )
        for number, item in enumerate(chosen)
    ]


def send(url: str, query: DemoQuery) -> AnsweredQuery:
    """The query with its hits from the endpoint at `url`, and their pictures."""
    by_image = query.modality == "image"
    # The archive also holds the query's own item: one hit more is asked for, and that item is left out.
    fields: dict[str, Any] = {"k": SHOWN + 1} if by_image else {"k": SHOWN + 1, "report": query.report}
    answer = client.search_endpoint(url, query.image if by_image else None, fields)
    own = _picture(thumbnail(decode_image(query.image, LIMITS)))
    hits = [
        Hit(
            picture=_picture(client.get(url + hit["image"])) if hit["image"] else None,
            report=hit["report"] or "",
            labels=tuple(hit["labels"]),
            distance=hit["distance"],
            shared=finest_shared(query.labels, hit["labels"]),
        )
        for hit in answer["hits"]
        if hit["item_id"] != query.item_id
    ]
    return AnsweredQuery(
        modality=query.modality,
        picture=own,
        report=query.report,
        labels=tuple(sorted(query.labels)),
        code=answer["code"][query.modality],
        hits=tuple(hits[:SHOWN]),
    )


def finest_shared(asked: Collection[str], labels: Collection[str]) -> str:
    """The first of FAMILIES of which both have a label in common; "" for none."""
    families = [label.partition(":")[0] for label in {*asked} & {*labels}]
    return next((family for family in FAMILIES if family in families), "")


def _picture(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
