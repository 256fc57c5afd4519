"""Evaluations → one JSON document and one self-contained HTML page: chance beside every score, and the plots."""

import html
from collections.abc import Sequence

from mcmfh.errors import InputError
from mcmfh.evaluation import plots
from mcmfh.evaluation.family_table import TITLE as FAMILIES
from mcmfh.evaluation.family_table import family_rows
from mcmfh.evaluation.protocols import SINGLE
from mcmfh.evaluation.provenance import CONSTANTS, Provenance
from mcmfh.evaluation.scores import Evaluation, summarise
from mcmfh.evaluation.tables import COLUMNS, HEADLINE, cells, headline_rows
from mcmfh.store import documents, files
from mcmfh.store.layout import evaluation_page, evaluation_scores

FORMAT = 2

_EXPLANATION = {
    "value": "expectation over the order of ties (McSherry & Najork 2008); mean over seeds, ± their sample deviation",
    "worst – best": "the same measure when every tie falls as badly, or as well, as it can",
    "95 % interval": "bootstrap over queries, drawn in whole groups (patients or cases)",
    "chance": "what codes without knowledge get in the same measure: a database in random order (exact), for lookups "
    "with balls of the same sizes (exact), for R@K random codes of the same length (simulated)",
    "permutation null": "the middle 95 % of the headline scores after image codes and report codes were permuted among "
    "the items of each split: what these codes get when nothing says which item a code belongs to",
    "–": "a mean of which a score is missing: no training item has labels, say, or one direction was not measured",
    "relevant pairs": "P(a random query-item pair is relevant); for R@K, that a random answer is the right one; for "
    "nDCG and ACG the mean gain of a random item",
    "mAP@50": "AP of the first 50, divided by min(R, 50)",
    "mAP@50 UCMFH": "AP of the first 50, divided by the relevant items among them: not comparable with mAP@50",
    "mAP@5000 DCMHT": "mean precision at the first 5000 relevant items",
    "lookup ≤ 2": "precision within Hamming radius 2; an empty lookup counts 0",
    "… finding within region": "only items that share a region with the query are ranked, and those that share "
    "a finding too are relevant; queries whose candidates are all relevant, or none of them, are left out",
    "nDCG, ACG": "graded: the gain of an item is Σ idf of the labels that it shares with the query / Σ idf of the "
    "query's labels, idf from the training items; nDCG with gain g, and with 2^g − 1; ACG@k is the mean gain of the "
    "first k",
    "R@K": "the query's own partner among the first K answers; items of one study or with equal texts are one answer",
    "apart from train": "the same measure for those queries whose text is not in train, nor a twin of their picture",
    "settings": "digest of what the method was trained with; equal digests are equal settings but for seed and bits",
    "unlabelled": "queries × database items without any label. Whether they are relevant is unknown, so every measure "
    "but R@K leaves them out (condensed lists, Sakai 2007)",
    "recipes": CONSTANTS,
    "seen / unseen / all": "database of training items / of the other items of the queries' split / of all items; "
    "a query's own study is never in it",
}

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2733; max-width: 1240px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2, summary { font-size: 1.1rem; font-weight: 600; margin: 2rem 0 .5rem }
summary { cursor: pointer }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .82rem }
th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #e3e8ee; white-space: nowrap }
th { color: #51606f } .text { text-align: left } tr:hover td { background: #f5f8fb }
td.text { white-space: normal } .wide { overflow-x: auto }
.leaky summary, .leaky td { color: #9a3412 }
figure { display: inline-block; margin: .5rem 1rem .5rem 0 } svg { max-width: 100%; height: auto }
.note { color: #51606f } .made { color: #51606f; font-size: .75rem; overflow-wrap: anywhere }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; font-size: .86rem }
dt { font-weight: 600 } dd { margin: 0 }
"""


def write_report(
    evaluations: Sequence[Evaluation],
    folder: str,
    title: str = "Cross-modal retrieval",
    note: str = "",
    provenance: Provenance | None = None,
) -> str:
    """Write `evaluations.json` and `report.html` below `folder`, replacing older ones; returns the page's URI."""
    document = {
        "format": FORMAT,
        "title": title,
        "note": note,
        "provenance": provenance.to_json() if provenance else None,
        "evaluations": [each.to_json() for each in evaluations],
    }
    _replace(evaluation_scores(folder), documents.sealed(document))
    page = evaluation_page(folder)
    _replace(page, report_html(evaluations, title, note, provenance).encode())
    return page


def read_evaluations(folder: str) -> list[Evaluation]:
    """The evaluations that `write_report` wrote below `folder`. Raises InputError for those of another format."""
    document = documents.read(evaluation_scores(folder))
    if document["format"] != FORMAT:
        raise InputError(f"the page in '{folder}' has format {document['format']}, not {FORMAT}; evaluate again")
    return [Evaluation.from_json(each) for each in document["evaluations"]]


def read_provenance(folder: str) -> Provenance:
    """What the page below `folder` was made from. Raises InputError for a page that does not say it."""
    if not (recorded := documents.read(evaluation_scores(folder)).get("provenance")):
        raise InputError(f"the page in '{folder}' does not say what it was made from; evaluate again")
    return Provenance.from_json(recorded)


def report_html(
    evaluations: Sequence[Evaluation], title: str, note: str = "", provenance: Provenance | None = None
) -> str:
    """The page as HTML, without scripts or links; plots are inline SVG. The provenance stands under every table."""
    below = f"<p class=made>{html.escape(provenance.line())}</p>" if provenance else ""
    parts = [f"<h1>{html.escape(title)}</h1>", f"<p class=note>{html.escape(note)}</p>" if note else ""]
    if headline := headline_rows(evaluations):
        columns = [(name, i == 0) for i, name in enumerate(headline[0])]
        parts += [f"<h2>{html.escape(HEADLINE)}</h2>", _table(columns, headline[1:]) + below]
    if families := family_rows(evaluations):
        columns = [(name, i == 0) for i, name in enumerate(families[0])]
        parts += [f"<h2>{html.escape(FAMILIES)}</h2>", _table(columns, families[1:]) + below]
    parts += [f"<figure>{svg}</figure>" for svg in plots.all_plots(evaluations)]
    rows = summarise(evaluations)
    for supervised, heading in ((False, "Unsupervised"), (True, "Supervised: labels were looked at")):
        for protocol in dict.fromkeys(row.score.protocol for row in rows if row.supervised is supervised):
            chosen = [row for row in rows if row.supervised is supervised and row.score.protocol == protocol]
            unfolded = " open" if protocol == SINGLE else ""
            kind = " class=leaky" if "leaky" in protocol else ""
            table = _table(COLUMNS, [cells(row) for row in chosen]) + below
            parts += [
                f"<details{unfolded}{kind}><summary>{heading}, {html.escape(protocol)}</summary>{table}</details>"
            ]
    words = "".join(f"<dt>{html.escape(term)}</dt><dd>{html.escape(text)}</dd>" for term, text in _EXPLANATION.items())
    parts += [f"<h2>Words</h2><dl>{words}</dl>"]
    body = "\n".join(part for part in parts if part)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>"
        f"<style>{_STYLE}</style><body>{body}</body></html>\n"
    )


def _table(columns: Sequence[tuple[str, bool]], rows: Sequence[Sequence[str]]) -> str:
    """`columns`: (name, is text)."""

    def line(tag: str, texts: Sequence[str]) -> str:
        cell = (f"<{tag}{' class=text' * text}>{html.escape(each)}</{tag}>" for (_, text), each in zip(columns, texts))
        return f"<tr>{''.join(cell)}</tr>"

    lines = line("th", [name for name, _ in columns]) + "".join(line("td", row) for row in rows)
    return f"<div class=wide><table>{lines}</table></div>"


def _replace(uri: str, data: bytes) -> None:
    while not files.create(uri, data):
        files.delete(uri)
