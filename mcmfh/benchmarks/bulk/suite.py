"""The whole embedding job, alternating with its encoder alone, or with a trivial encoder; each in fresh processes."""

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from mcmfh.benchmarks.bulk.archives import archive_settings, some_rows, write_radiographs
from mcmfh.benchmarks.bulk.contestants import random_biomedclip
from mcmfh.benchmarks.bulk.peer import command, write_shards
from mcmfh.benchmarks.bulk.processes import Usage, run_watched
from mcmfh.errors import InputError

PARTS = ("packaged", "dicom", "biomedclip", "trivial", "clip-retrieval")
# Items in a unit, by part. A unit pads the last batch of each length of text, which costs small units too much.
_UNIT_ITEMS = {"packaged": 256, "dicom": 12, "biomedclip": 64, "clip-retrieval": 256}
_UNIT_ITEMS_ON_GPU = 1024
_Order = dict[str, Any]
Say = Callable[[str], None]


def run_part(
    part: str,
    manifest: str | None,
    workers: int,
    units: int,
    rounds: int,
    tokenizer: Path | None,
    peer: Path | None,
    say: Say,
) -> dict[str, Any]:
    """Measure `part` with `workers` encoders side by side, `units` units each, `rounds` times. Raises InputError.

    The encoders share the GPUs that torch finds here; where it finds none, they run on the CPU.
    tokenizer: a folder with BiomedCLIP's files, weights excepted; peer: the Python that has clip-retrieval installed.
    """
    if part not in PARTS:
        raise InputError(f"part '{part}' is not known; use {', '.join(PARTS)}")
    if part != "dicom" and manifest is None:
        raise InputError(f"part '{part}' needs --manifest: a Parquet or CSV file that lists images and reports")
    with_open_clip = part in ("biomedclip", "clip-retrieval")
    if with_open_clip and tokenizer is None:
        raise InputError(f"part '{part}' needs --tokenizer: a folder with open_clip_config.json and vocab.txt")
    if part == "clip-retrieval" and peer is None:
        raise InputError("part 'clip-retrieval' needs --rival: the python of an environment that has it installed")
    with tempfile.TemporaryDirectory(prefix="mcmfh-benchmark-") as name:
        folder = Path(name)
        if part == "trivial":
            return {"part": part, **measure_trivial(str(manifest), folder, workers, say)}
        gpus = count_gpus()
        device = "cuda" if gpus else "cpu"
        unit_items = _UNIT_ITEMS_ON_GPU if gpus else _UNIT_ITEMS[part]
        items = unit_items * units * workers
        archive = f"{folder}/items.parquet"
        archive = write_radiographs(items, name) if part == "dicom" else some_rows(str(manifest), items, archive)
        order: _Order = {
            "encoder": "packaged",
            "source": None,
            "device": device,
            "gpus": gpus,
            "overrides": [*archive_settings(archive), f"embed.unit_items={unit_items}"],
        }
        if tokenizer and with_open_clip:
            source = random_biomedclip(tokenizer, folder / "model", small=part == "clip-retrieval")
            order |= {"encoder": "biomedclip", "source": source}
        if peer and part == "clip-retrieval":
            peer_command = command(peer, order["source"], write_shards(archive, folder), folder / "output")
            return {"part": part, **measure_peer(order, peer_command, folder, workers, items, rounds, say)}
        return {"part": part, "device": device, **measure_efficiency(order, folder, workers, items, rounds, say)}


def measure_efficiency(order: _Order, folder: Path, workers: int, items: int, rounds: int, say: Say) -> dict[str, Any]:
    """{"workers", "items", "rounds": [{"job", "alone": items/s, …}]}: runs of the job and of the encoder alternate."""
    measured = []
    for number in range(rounds):
        units, usage = run_job(order, folder / f"store {number}", workers)
        alone = encode_alone(order, workers, items // workers)
        result: dict[str, Any] = {
            "job": sum(rate for _, _, rate in by_worker(units).values()),
            "alone": alone["rate"],
            "cpu_alone": alone["cpu"],
            "cpu_job": _steady_cpu(units, usage),
            "startup": _startup(units, usage),
            "memory": dict(usage.memory),
        }
        say(f"{workers} workers: {result['job']:.2f} items/s, the encoder alone {result['alone']:.2f}")
        measured.append(result)
    return {"workers": workers, "items": items, "rounds": measured}


def measure_peer(
    order: _Order, peer_command: list[str], folder: Path, workers: int, items: int, rounds: int, say: Say
) -> dict[str, Any]:
    """{"workers", "items", "rounds": [{"job", "rival": {"seconds", "CPU-seconds"}}]}: whole runs, which alternate."""
    measured = []
    for number in range(rounds):
        _, own = run_job(order, folder / f"store {number}", workers)
        # The peer must not import this project's modules.
        _, theirs = run_watched(peer_command, {k: v for k, v in os.environ.items() if k != "PYTHONPATH"})
        result = {
            name: {"seconds": used.times[-1] - used.times[0], "CPU-seconds": used.seconds[-1]}
            for name, used in (("job", own), ("rival", theirs))
        }
        say(f"the whole job {result['job']['seconds']:.0f} s, clip-retrieval {result['rival']['seconds']:.0f} s")
        measured.append(result)
    return {"workers": workers, "items": items, "rounds": measured}


def measure_trivial(manifest: str, folder: Path, workers: int, say: Say) -> dict[str, Any]:
    """CPU-seconds and memory of the job with an encoder that costs nothing, at 2,000 and at 20,000 items."""
    sizes: dict[int, dict[str, Any]] = {}
    for items in (2_000, 20_000):
        uri = some_rows(manifest, items, f"{folder}/{items}.parquet")
        overrides = archive_settings(uri)
        order = {"encoder": "trivial", "source": None, "device": "cpu", "gpus": 0, "overrides": overrides}
        units, usage = run_job(order, folder / f"store {items}", workers)
        assert sum(unit["rows"] for unit in units) == items
        sizes[items] = {
            "cpu": usage.seconds[-1],
            "startup": _startup(units, usage),
            "seconds": usage.times[-1] - usage.times[0],
            "memory": dict(usage.memory),
        }
        say(f"trivial encoder, {items:,} items: {usage.seconds[-1]:.1f} CPU-seconds, memory {sizes[items]['memory']}")
    (few, small), (many, large) = sizes.items()
    return {
        "workers": workers,
        "sizes": sizes,
        "cpu_ms_an_image": 1000 * (large["cpu"] - small["cpu"]) / (many - few),
    }


def run_job(order: _Order, store: Path, workers: int) -> tuple[list[dict[str, Any]], Usage]:
    """Run the job in a fresh store: (its units, what it used)."""
    overrides = [*order["overrides"], f"store={store}", f"embed.workers={workers}"]
    overrides.append(f"encoder.num_gpus={min(1, order['gpus'] / workers)}")
    text = json.dumps({**order, "overrides": overrides})
    output, usage = run_watched([sys.executable, "-m", "mcmfh.benchmarks.bulk.job", text], dict(os.environ))
    return json.loads(output.splitlines()[-1]), usage


def encode_alone(order: _Order, workers: int, items: int) -> dict[str, float]:
    """{"rate": items/s of all, "cpu": CPU-seconds an item} of `workers` processes with one thread and `items` each."""
    with _encoders(order, workers, items) as pipes:
        for _, answers in pipes:
            if answers.readline().strip() != "ready":
                raise RuntimeError("the encoder alone did not start")
        for orders, _ in pipes:
            orders.write("go\n")
            orders.flush()
        done = [json.loads(answers.readline()) for _, answers in pipes]
    return {
        "rate": sum(one["items"] / one["seconds"] for one in done),
        "cpu": sum(one["cpu"] for one in done) / sum(one["items"] for one in done),
    }


@contextmanager
def _encoders(order: _Order, workers: int, items: int) -> Iterator[list[tuple[IO[str], IO[str]]]]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-m", "mcmfh.benchmarks.bulk.alone"]
    orders = [json.dumps({**order, "first": first, "step": workers, "items": items}) for first in range(workers)]
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen([*command, text], env=environment | _visible(order, i), stdin=pipe, stdout=pipe, text=True)
        for i, text in enumerate(orders)
    ]
    try:
        yield [(cast(IO[str], process.stdin), cast(IO[str], process.stdout)) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _visible(order: _Order, number: int) -> dict[str, str]:
    return {"CUDA_VISIBLE_DEVICES": str(number % order["gpus"])} if order["gpus"] else {}


def count_gpus() -> int:
    """GPUs that torch finds here; CUDA_VISIBLE_DEVICES="" hides them."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def by_worker(units: list[dict[str, Any]]) -> dict[int, tuple[float, float, float]]:
    """Process → (when its first unit began, when its last ended, items/s between the ends of these two)."""
    own: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for unit in sorted(units, key=lambda unit: unit["ended"]):
        own[unit["worker"]].append(unit)
    return {
        worker: (
            first["began"],
            rest[-1]["ended"],
            sum(unit["rows"] for unit in rest) / (rest[-1]["ended"] - first["ended"]),
        )
        for worker, (first, *rest) in own.items()
        if rest
    }


def _startup(units: list[dict[str, Any]], usage: Usage) -> float:
    """CPU-seconds of all processes until every worker had begun, less what earlier workers spent on encoding."""
    began = [first for first, _, _ in by_worker(units).values()]
    return usage.seconds_at(max(began)) - sum(max(began) - first for first in began)


def _steady_cpu(units: list[dict[str, Any]], usage: Usage) -> float:
    """CPU-seconds of all processes per item, while every worker is encoding."""
    ends = sorted(unit["ended"] for unit in units)
    workers = len(by_worker(units))
    first, last = ends[workers - 1], ends[-workers]
    rows = sum(unit["rows"] for unit in units if first < unit["ended"] <= last)
    seconds: float = usage.seconds_at(last) - usage.seconds_at(first)
    return float(seconds / max(rows, 1))
