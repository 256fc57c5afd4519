"""`mcmfh reproduce PAGE`: makes a page's figures again from what it was made from, and compares them."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mcmfh.archive.opened import Archive
from mcmfh.config import Config, load_config
from mcmfh.errors import InputError
from mcmfh.evaluation import Evaluation, read_evaluations
from mcmfh.evaluation.report import read_provenance
from mcmfh.pipeline.archive import read_archive
from mcmfh.pipeline.compare import compare_on_archive
from mcmfh.pipeline.compare_pretraining import compare_pretraining
from mcmfh.pipeline.evaluate import Evaluated, evaluate_archive, evaluate_encoder
from mcmfh.store import files
from mcmfh.store.layout import evaluation_scores

SHOWN = 5  # differences that are listed


@dataclass(frozen=True)
class Reproduced:
    """`lines` say what is equal and what is not; `equal`: every score is, within the tolerance."""

    lines: list[str]
    equal: bool


def page_config(page: str) -> Config:
    """The configuration that made the page at a URI (of report.html, or of its folder). Raises InputError."""
    return load_config(read_provenance(_folder(page)).overrides, read_default=False)


def reproduce(page: str, tolerance: float = 1e-9) -> Reproduced:
    """Run again what made the page and compare every score with the page's, up to `tolerance`.

    Stored embeddings and the evaluated model are its inputs; everything else is made anew, in a store of its own.
    Raises InputError where there is no such page, or what it was made from is no longer there.
    """
    folder = _folder(page)
    config, before = page_config(page), read_provenance(folder)
    with tempfile.TemporaryDirectory() as results:
        again = _run(config, read_archive(config.archive), results)
    assert again.provenance is not None
    lines = [f"made again: {before.command}"]
    differences = before.differences(again.provenance)
    lines += differences or ["archive, split, encoder, settings, seeds and code are the same"]
    scores, equal = _compared(read_evaluations(folder), again.evaluations, tolerance)
    return Reproduced([*lines, *scores], equal)


def _run(config: Config, archive: Archive, results: str) -> Evaluated:
    asked = config.evaluate.compare
    if asked == "model":
        return evaluate_archive(config, archive, config.hash.bundle, results=results)
    if asked == "encoder":
        return evaluate_encoder(config, archive, results=results)
    if asked == "pretraining":  # it embeds by its own towers, so it needs nothing of the store
        return compare_pretraining(config.model_copy(update={"store": results}), archive)
    return compare_on_archive(config, archive, results=results)


def _compared(before: Sequence[Evaluation], after: Sequence[Evaluation], tolerance: float) -> tuple[list[str], bool]:
    """(what differs, the largest differences first, and how many scores are equal; whether all are)."""
    old, new = _values(before), _values(after)
    lines = [f"no longer measured: {_words(key)}" for key in sorted(old.keys() - new.keys(), key=str)[:SHOWN]]
    lines += [f"not on the page: {_words(key)}" for key in sorted(new.keys() - old.keys(), key=str)[:SHOWN]]
    both = old.keys() & new.keys()
    changed = [key for key in both if not np.isclose(old[key], new[key], rtol=0, atol=tolerance, equal_nan=True)]
    for key in sorted(changed, key=lambda each: (-abs(old[each] - new[each]), str(each)))[:SHOWN]:
        lines.append(f"{_words(key)}: {old[key]:.6f} then, {new[key]:.6f} now")
    lines.append(f"{len(both) - len(changed):,} of {len(old):,} scores are equal")
    return lines, not changed and old.keys() == new.keys()


def _words(key: tuple[object, ...]) -> str:
    return " / ".join(map(str, key))


def _values(evaluations: Sequence[Evaluation]) -> dict[tuple[object, ...], float]:
    return {
        (each.method, each.bits, each.seed, *score.key): score.value for each in evaluations for score in each.scores
    }


def _folder(page: str) -> str:
    uri = files.absolute(page)
    folder = files.parent(uri) if uri.endswith(".html") else uri
    if not files.exists(evaluation_scores(folder)):
        raise InputError(f"'{page}' is no page of an evaluation; give the address of its report.html")
    return folder
