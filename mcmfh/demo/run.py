"""phantom archive → embed → train → evaluate → hash and publish → serve → queries → a page and a table.

Every stage stores its result, and a later run reuses it.
"""

import json
import shlex
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mcmfh import ray_session
from mcmfh.config import Config, load_config
from mcmfh.console import Advance, stage_bar, terminal
from mcmfh.demo.page import MEASURES, WAYS, AnsweredQuery, write_page
from mcmfh.demo.queries import FAMILIES, choose_queries, send
from mcmfh.encoders import packaged
from mcmfh.evaluation.scores import Score
from mcmfh.phantom import write_phantom
from mcmfh.pipeline.archive import open_manifest, read_archive
from mcmfh.store import files
from mcmfh.store.layout import phantom_manifest

BITS = 16
SEED = 0


def demo_config(folder: Path, studies: int, store: str | None, port: int) -> Config:
    """The configuration that the demo runs with; a local ray_config.yaml is not read."""
    store = store or str(folder.absolute() / "store")
    manifest = phantom_manifest(store, studies)
    overrides = [
        f"store={store}",
        f"archive.manifest={manifest}",
        f"archive.name=phantom-{studies}",
        "archive.filters=[modality, region]",
        f"evaluate.families=[{', '.join(FAMILIES)}]",
        "embed.unit_items=128",
        f"train.bits={BITS}",
        f"train.seed={SEED}",
        f"serve.port={port}",
    ]
    return load_config(overrides, path=None, read_default=False)


def run_demo(folder: Path, studies: int, store: str | None, keep: bool, port: int) -> None:
    """Run all stages, print the table, write FOLDER/index.html; with `keep`, serve until interrupted."""
    console = terminal()
    config = demo_config(folder, studies, store, port)
    manifest = str(config.archive.manifest)
    seconds: dict[str, float] = {}

    @contextmanager
    def stage(name: str) -> Iterator[Advance]:
        begun = time.perf_counter()
        with stage_bar(name, console) as advance:
            yield advance
        seconds[name] = time.perf_counter() - begun

    with stage("phantom"):
        write_phantom(files.parent(manifest), studies=studies, seed=SEED)
        archive = read_archive(config.archive)
    with stage("ray"):
        ray_session.connect(config.cluster)
        from mcmfh.pipeline.embed import embed_archive
        from mcmfh.pipeline.evaluate import evaluate_archive
        from mcmfh.pipeline.hash import hash_archive
        from mcmfh.pipeline.train import train_archive
        from mcmfh.serving.deployment import start
    with stage("embed") as progress:
        embedded = embed_archive(config, open_manifest(config.archive), progress)
    with stage("train"):
        trained = train_archive(config, archive)
    with stage("evaluate"):
        evaluated = evaluate_archive(config, archive, trained.bundle)
        evaluation = evaluated.evaluations[0]
    with stage("hash"):
        published = hash_archive(config, open_manifest(config.archive))
    with stage("serve"):
        url = start(config)
    with stage("search"):
        answers = [send(url, query) for query in choose_queries(config, archive)]
    page = folder / "index.html"
    write_page(page, answers, evaluation, published, url)

    scores = [evaluation.score(measure, way, "unseen") for measure in MEASURES for way in WAYS]
    table = Table(
        title=f"{BITS}-bit codes, {studies} phantom studies, held-out patients, unseen database",
        caption=Text(evaluated.provenance.line()) if evaluated.provenance else None,
        show_header=False,
    )
    for name, value in (
        *((f"{each.measure} {each.direction}", _score(each)) for each in scores),
        ("items + quarantined = inputs", f"{published.items} + {published.failed} = {published.inputs}"),
        ("embedded now, reused", f"{embedded.encoded}, {embedded.reused}"),
        ("seconds", ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())),
    ):
        table.add_row(name, value)
    console.print(table)
    for reason, count in published.reasons.items():
        console.print(f"  quarantined {count:>3} × {reason}", highlight=False)
    console.print(packaged.NOTICE, style="dim")
    console.print(f"page: {page}", highlight=False, soft_wrap=True)
    _finish(console, url, answers, keep)


def _score(score: Score) -> str:
    return f"{score.value:.3f}  (ties: {score.worst:.3f}–{score.best:.3f}; chance {score.chance:.3f})"


def _finish(console: Console, url: str, answers: list[AnsweredQuery], keep: bool) -> None:
    if keep:
        report = next(answer.report for answer in answers if answer.report)
        body = shlex.quote(json.dumps({"report": report[:80], "k": 3}))
        line = f"curl -s {url}/v1/search -H 'Content-Type: application/json' -d {body}"
        console.print(f"the endpoint stays up until Ctrl-C; ask it:\n\n{line}\n", highlight=False, soft_wrap=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            console.print("stopping")
    ray_session.disconnect()
