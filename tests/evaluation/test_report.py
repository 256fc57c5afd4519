"""The report says what was measured, with chance beside it, in one file that needs no other."""

import io
import re

import pytest
from rich.console import Console

from mcmfh.errors import InputError
from mcmfh.evaluation import evaluate, headline_table, read_evaluations, score_table, write_report
from mcmfh.evaluation.plots import score_by_bits
from mcmfh.store import documents

from .test_evaluate import codes_of


def evaluations(table):
    made = [evaluate(codes_of(table, 16, seed), table, 16, "heads <b>", seed, resamples=5) for seed in (0, 1)]
    made.append(evaluate(codes_of(table, 32), table, 32, "heads <b>", resamples=5))
    made.append(
        evaluate({"image": table.image[:, :20], "report": table.report}, table, None, "cosine", supervised=True)
    )
    return made


def test_report_is_one_page_that_reaches_for_nothing(table, tmp_path):
    made = evaluations(table)
    page = write_report(made, str(tmp_path), note="phantom")
    text = (tmp_path / "report.html").read_text()
    assert page.endswith("report.html")
    assert not re.findall(r"<script|<link|<img|@import|(?:src|href)=\"(?!#)", text)
    for word in (
        "chance",
        "relevant pairs",
        "leaky, for comparison only",
        "Supervised",
        "heads &lt;b&gt;",
        "<svg",
        "phantom",
    ):
        assert word in text
    score = made[2].score("mAP@all", "image→report", "unseen")
    assert f"{score.value:.3f}" in text
    assert read_evaluations(str(tmp_path)) == made


def test_a_page_of_another_format_is_refused_by_name(table, tmp_path):
    write_report(evaluations(table)[:1], str(tmp_path))
    path = tmp_path / "evaluations.json"
    path.write_bytes(documents.sealed({**documents.read(str(path)), "format": 1}))
    with pytest.raises(InputError, match="format 1, not 2; evaluate again"):
        read_evaluations(str(tmp_path))


def test_nothing_of_the_page_lies_beside_the_screen(browser, table, tmp_path):
    browser.goto(write_report(evaluations(table), str(tmp_path)))
    for width in (1180, 390):
        browser.set_viewport_size({"width": width, "height": 900})
        assert browser.evaluate("document.documentElement.scrollWidth") == width


def test_a_score_by_bits_is_drawn_where_there_is_something_to_compare(table):
    one, _, longer, cosine = evaluations(table)
    assert score_by_bits([one], "mAP@all") == ""
    for other in (longer, cosine):
        assert score_by_bits([one, other], "mAP@all").startswith("<svg")


def test_report_replaces_the_one_before_and_is_reproducible(table, tmp_path):
    made = evaluations(table)[1:3]
    (tmp_path / "report.html").write_text("an older one")
    write_report(made, str(tmp_path))
    first = (tmp_path / "report.html").read_bytes()
    write_report(made, str(tmp_path))
    assert (tmp_path / "report.html").read_bytes() == first


def test_console_tables_hold_every_method_and_chance(table):
    console = Console(width=250, record=True, file=io.StringIO())
    made = evaluations(table)
    console.print(headline_table(made))
    console.print(score_table(made))
    text = console.export_text()
    assert f"{made[2].mean():.3f}" in text
    assert "chance" in text
    assert "leaky" not in text
