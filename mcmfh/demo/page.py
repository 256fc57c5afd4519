"""The demo's page: one self-contained HTML file with the queries, their hits and the scores beside chance."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, select_autoescape

from mcmfh.evaluation import Evaluation

if TYPE_CHECKING:
    from mcmfh.pipeline.hash import Published

# Coarse and fine: without the second, a score says little more than that the part of the body is right.
MEASURES = ("mAP@all", "mAP@all finding within region")
WAYS = ("image→report", "report→image")


@dataclass(frozen=True)
class Hit:
    picture: str | None  # data: URI
    report: str
    labels: tuple[str, ...]
    distance: int
    shared: str  # "finding", "region" or "": the finest family of which it shares a label with the query


@dataclass(frozen=True)
class AnsweredQuery:
    modality: str
    picture: str
    report: str
    labels: tuple[str, ...]
    code: str  # hex
    hits: tuple[Hit, ...]


def write_page(
    path: Path, answers: list[AnsweredQuery], evaluation: Evaluation, published: "Published", url: str
) -> None:
    """Write the page to `path`, replacing an older one."""
    environment = Environment(loader=PackageLoader("mcmfh.demo", "."), autoescape=select_autoescape())
    page = environment.get_template("page.html").render(
        answers=answers,
        scores=[evaluation.score(measure, way, "unseen") for measure in MEASURES for way in WAYS],
        bits=evaluation.bits,
        published=published,
        url=url,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
