"""Writes the measurements of each part as JSON, and all parts in a folder as one table beside what is promised."""

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any


def write_report(result: dict[str, Any], folder: Path) -> str:
    """Write bulk-<part>-<device>-<workers>.json into `folder`; returns a Markdown table of all such files in it."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"bulk-{result['part']}-{result.get('device', 'cpu')}-{result['workers']}.json"
    (folder / name).write_text(json.dumps(result, indent=1))
    lines = ["| bulk embedding | measured | promised |", "|---|---|---|"]
    for path in sorted(folder.glob("bulk-*.json")):
        one = json.loads(path.read_text())
        lines += [f"| {what} | {value} | {bar} |" for what, value, bar in _rows(one)]
    return "\n".join(lines)


def _rows(result: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    name = f"{result['part']}{' on GPUs' if result.get('device') == 'cuda' else ''}, {result['workers']} workers"
    if result["part"] == "trivial":
        small, large = (result["sizes"][size] for size in sorted(result["sizes"], key=int))
        yield f"{name}: CPU an image, 2,000 → 20,000 items", f"{result['cpu_ms_an_image']:.2f} ms", "≤ 1.2 ms"
        yield f"{name}: start-up", f"{large['startup']:.1f} CPU-s", "≤ 20"
        for role, mib in large["memory"].items():
            ratio = mib / small["memory"][role]
            yield f"{name}: memory of {role}, 20,000 over 2,000", f"{mib:.0f} MiB, × {ratio:.2f}", "0.9–1.1"
        return
    rounds = result["rounds"]
    if result["part"] == "clip-retrieval":
        for unit, bar in (("seconds", "< 1 ×"), ("CPU-seconds", "")):
            job, peer = (mean(one[who][unit] for one in rounds) for who in ("job", "rival"))
            measured = f"{job:.0f}, {peer:.0f}: {job / peer:.2f} ×"
            yield f"{name}, {result['items']} items: {unit} of the whole job, of clip-retrieval's", measured, bar
        return
    job, alone = (mean(one[key] for one in rounds) for key in ("job", "alone"))
    each = ", ".join(f"{one['job'] / one['alone']:.0%}" for one in rounds)
    yield f"{name}, {result['items']} items: job / encoder alone", f"{job / alone:.1%} ({each})", "≥ 90 %"
    yield f"{name}: items/s, job and encoder alone", f"{job:.2f}, {alone:.2f}", ""
    cpu = [1000 * mean(one[key] for one in rounds) for key in ("cpu_job", "cpu_alone")]
    yield f"{name}: CPU an item, job and encoder alone", "{:.1f}, {:.1f} ms".format(*cpu), ""
    yield f"{name}: start-up", f"{mean(one['startup'] for one in rounds):.1f} CPU-s", "≤ 20"
