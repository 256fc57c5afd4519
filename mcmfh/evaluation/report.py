"""Evaluations → one JSON document and one self-contained HTML page: chance beside every score, and the plots."""

import html
from collections.abc import Sequence

from mcmfh import storage
from mcmfh.evaluation import plots
from mcmfh.evaluation.console import COLUMNS, cells
from mcmfh.evaluation.protocols import SINGLE
from mcmfh.evaluation.scores import Evaluation, Summary, summarise

FORMAT = 1

_EXPLANATION = {
    "value": "expectation over the order of ties (McSherry & Najork 2008); mean over seeds, ± their sample deviation",
    "worst – best": "the same measure when every tie falls as badly, or as well, as it can",
    "95 % interval": "bootstrap over queries, drawn in whole groups (patients or cases)",
    "chance": "P(a random query-item pair is relevant); for R@K, that a random answer is the right one",
    "random order": "what this very measure gives, exactly, to a database in random order",
    "mAP@50": "AP of the first 50, divided by min(R, 50)",
    "mAP@50 UCMFH": "AP of the first 50, divided by the relevant items found there: not comparable with the former",
    "mAP@5000 DCMHT": "mean precision at the first 5000 relevant items",
    "lookup ≤ 2": "precision within Hamming radius 2; an empty lookup counts 0",
    "R@K": "the query's own partner among the first K answers; items of one study or with equal texts are one answer",
    "seen / unseen / all": "database of training items / of the other items of the queries' split / of all items; "
    "a query's own study never stands in it",
}

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2733; max-width: 1180px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .86rem; width: 100% }
th, td { padding: .25rem .55rem; text-align: right; border-bottom: 1px solid #e3e8ee; white-space: nowrap }
th { color: #51606f; font-weight: 600 } td.text, th.text { text-align: left }
tr.leaky td { color: #9a3412 } tr:hover td { background: #f5f8fb }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; font-size: .86rem }
dt { font-weight: 600 } dd { margin: 0 } figure { display: inline-block; margin: .5rem 1rem .5rem 0 }
p.note { color: #51606f }
"""


def write_report(
    evaluations: Sequence[Evaluation], folder: str, title: str = "Cross-modal retrieval", note: str = ""
) -> str:
    """Write `evaluations.json` and `report.html` below `folder`, replacing older ones; returns the page's URI."""
    document = {"format": FORMAT, "title": title, "note": note, "evaluations": [each.to_json() for each in evaluations]}
    folder = storage.absolute(folder)
    _replace(storage.join(folder, "evaluations.json"), storage.canonical_json(document))
    page = storage.join(folder, "report.html")
    _replace(page, report_html(evaluations, title, note).encode())
    return page


def read_evaluations(folder: str) -> list[Evaluation]:
    """What `write_report` wrote."""
    document = storage.read_json(storage.join(storage.absolute(folder), "evaluations.json"))
    return [Evaluation.from_json(each) for each in document["evaluations"]]


def report_html(evaluations: Sequence[Evaluation], title: str, note: str = "") -> str:
    """The page: no script, no link, plots as inline SVG."""
    rows = summarise(evaluations)
    unsupervised = [row for row in rows if not row.supervised]
    supervised = [row for row in rows if row.supervised]
    parts = [f"<h1>{html.escape(title)}</h1>", f"<p class=note>{html.escape(note)}</p>" if note else ""]
    for heading, chosen in (("Unsupervised", unsupervised), ("Supervised: labels were looked at", supervised)):
        if chosen:
            headline = [row for row in chosen if row.score.protocol == SINGLE]
            parts += [f"<h2>{heading}</h2>", _table(headline)]
            if others := [row for row in chosen if row.score.protocol != SINGLE]:
                parts += [f"<h2>{heading}: other protocols, not comparable with the table above</h2>", _table(others)]
    parts += ["<h2>Plots</h2>", *(f"<figure>{svg}</figure>" for svg in plots.all_plots(evaluations))]
    words = "".join(f"<dt>{html.escape(term)}</dt><dd>{html.escape(text)}</dd>" for term, text in _EXPLANATION.items())
    parts += [f"<h2>Words</h2><dl>{words}</dl>"]
    body = "\n".join(part for part in parts if part)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>"
        f"<style>{_STYLE}</style><body>{body}</body></html>\n"
    )


def _table(rows: list[Summary]) -> str:
    head = "".join(f"<th{' class=text' if text else ''}>{html.escape(name)}</th>" for name, text in COLUMNS)
    body = "".join(
        f"<tr{' class=leaky' if 'leaky' in row.score.protocol else ''}>"
        + "".join(
            f"<td{' class=text' if text else ''}>{html.escape(cell)}</td>"
            for (_, text), cell in zip(COLUMNS, cells(row))
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _replace(uri: str, data: bytes) -> None:
    while not storage.create(uri, data):
        storage.delete(uri)
