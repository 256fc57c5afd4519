"""A stage of a job, as it is followed: on the terminal or in the log, and by Prometheus through Ray's metrics.

Ray puts ray_ before each name: ray_mcmfh_rows_done and so on, with the labels archive and stage.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from mcmfh.bulk.pool import waits_for_a_node
from mcmfh.bulk.waiting import waiting
from mcmfh.config import Config
from mcmfh.console import Advance, stage_bar

LABELS = ("archive", "stage")
ROWS = {
    "mcmfh_rows_total": "Rows that the stage has to do",
    "mcmfh_rows_done": "Rows that are done, those in quarantine included",
    "mcmfh_rows_quarantined": "Rows that could not be read",
}
STEPS = {"mcmfh_train_steps": "Steps of the training that are done"}
OF_STAGE = {"embed": ROWS, "hash": ROWS, "train": STEPS, "pretrain": STEPS}


@contextmanager
def stage(config: Config, name: str) -> Iterator[Advance]:
    """Follow the stage `name` of a connected job during the block; yields an Advance for its rows or steps."""
    spare = int(name == "embed" and waits_for_a_node(config))
    with stage_bar(name, waiting=partial(waiting, spare=spare), observe=metrics(config.archive.name, name)) as progress:
        yield progress


def metrics(archive: str, stage: str) -> Advance:
    """An Advance that exports what it is told of rows or of steps; of a stage that has neither, nothing."""
    from ray.util.metrics import Gauge

    names = OF_STAGE.get(stage, {})
    gauges = {name: Gauge(name, description=text, tag_keys=LABELS) for name, text in names.items()}
    for gauge in gauges.values():
        gauge.set_default_tags({"archive": archive, "stage": stage})

    def observe(done: int, total: int, failed: int = 0) -> None:
        counts = {"total": total, "done": done, "quarantined": failed, "steps": done}
        for name, gauge in gauges.items():
            gauge.set(counts[name.rpartition("_")[2]])

    return observe
