"""What a page's figures were made from stands under every table, and its command gives the same configuration back."""

import io
import re
import shlex
from dataclasses import replace

import pytest
from rich.console import Console

from mcmfh.config import Config, load_config
from mcmfh.errors import InputError
from mcmfh.evaluation import evaluate, headline_table, score_table, write_report
from mcmfh.evaluation.provenance import Provenance, overrides_of
from mcmfh.evaluation.report import read_provenance

from .test_evaluate import codes_of

MADE = Provenance(
    archive="a" * 64,
    embedded=(90, 1500),
    split="b" * 64,
    encoder="packaged 1bb22fd1696b",
    settings="c" * 64,
    seeds=(0, 1, 2),
    code="0.1.0+9f86d081884c",
    job="jobs/evaluate.py",
    overrides=("train.bits=[16,32]", "archive.manifest=/data/it's <here>.csv"),
)
WORDS = (
    "archive aaaaaaaaaaaa · embedded 90 of 1,500 · split bbbbbbbbbbbb · encoder packaged 1bb22fd1696b · "
    "settings cccccccccccc · seeds 0, 1, 2 · code 0.1.0+9f86d081884c · python jobs/evaluate.py "
)


def test_the_line_has_every_part():
    assert MADE.line().startswith(WORDS)
    assert shlex.split(MADE.command) == ["python", "jobs/evaluate.py", *MADE.overrides]


def test_it_stands_under_every_table_of_the_page(table, tmp_path):
    found = evaluate(codes_of(table), table, 16, method="random", resamples=5)
    write_report([found, replace(found, supervised=True)], str(tmp_path), provenance=MADE)
    page = (tmp_path / "report.html").read_text()
    tables = page.count("<table>")
    assert tables == 7
    assert len(re.findall(r"</table></div><p class=made>archive aaaaaaaaaaaa[^<]*&lt;here&gt;", page)) == tables
    assert read_provenance(str(tmp_path)) == MADE


@pytest.mark.parametrize("make", [headline_table, score_table])
def test_it_stands_under_the_tables_of_the_terminal(table, make):
    found = evaluate(codes_of(table), table, 16, method="random", resamples=5)
    console = Console(width=250, record=True, file=io.StringIO())
    console.print(make([found], provenance=MADE))
    said = " ".join(console.export_text().split())
    assert " ".join(WORDS.split()) in said
    assert "train.bits=[16,32]" in said, "a value in brackets is no markup"


def test_a_page_without_it_is_said_to_have_none(table, tmp_path):
    write_report([evaluate(codes_of(table), table, 16, resamples=5)], str(tmp_path))
    with pytest.raises(InputError, match="does not say what it was made from; evaluate again"):
        read_provenance(str(tmp_path))


def test_differences_name_what_changed():
    assert MADE.differences(MADE) == []
    assert MADE.differences(replace(MADE, overrides=())) == []
    other = replace(MADE, embedded=(1500, 1500), seeds=(0,))
    assert MADE.differences(other) == ["embedded: 90 of 1500 then, 1500 of 1500 now", "seeds: 0, 1, 2 then, 0 now"]


@pytest.mark.parametrize(
    "given",
    [
        [],
        ["train.recipe=paper", "train.bits=[16, 64]", "train.experts=2"],
        ["archive.name='no'", "archive.filters=[modality, 'on']", "archive.manifest='a: b'"],
        ["evaluate.train_until=2015-01-01", "evaluate.rows=['MCMFH (s', lsh]", "archive.manifest=s3://b/x y.csv"],
        ["train.temperature=0.2", "train.labels=['find:', '1']", "evaluate.seeds=5"],
    ],
)
def test_overrides_give_the_configuration_back(given):
    config = load_config(given, read_default=False)
    dumped, default = (each.model_dump(mode="json") for each in (config, Config()))
    words = [
        word
        for section in ("archive", "encoder", "evaluate", "train")
        for word in overrides_of(section, dumped[section], default[section])
    ]
    assert load_config(words, read_default=False) == config
    assert (words == []) == (given == [])
