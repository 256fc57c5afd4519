"""The results of a run: a table of promises kept or missed, a table of times, a JSON file and a plot."""

import json
import os
import platform
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

_EXPONENTS = {10**5: "10⁵", 10**6: "10⁶", 10**7: "10⁷", 10**8: "10⁸"}


def write_report(result: dict[str, Any], folder: Path) -> str:
    """Write hamming.json and hamming.png into `folder`; returns the tables as Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    result = {"machine": describe_machine(), "promises": list(promises(result)), **result}
    (folder / "hamming.json").write_text(json.dumps(result, indent=1))
    plot(result["times"], folder / "hamming.png")
    lines = [f"{result['machine']}.", "", "| One thread, k = 10 | measured | promised | |", "|---|---|---|---|"]
    for promise in result["promises"]:
        sign = "≤" if promise["at_most"] else "≥"
        kept = "kept" if promise["kept"] else "**missed**"
        lines.append(f"| {promise['what']} | {_number(promise['value'])} × | {sign} {promise['bar']:,} × | {kept} |")
    lines += [
        "",
        "| µs a query, one thread, k = 10: uniform / clustered | 10⁵ | 10⁶ | 10⁷ | 10⁸ |",
        "|---|---|---|---|---|",
    ]
    lines += list(_times_table(result["times"]))
    return "\n".join([*lines, "", f"{len(result['checks'])} comparisons of answers with a brute force, all identical."])


def promises(result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Each promised ratio whose two times this run has measured."""
    times = {
        (r["bits"], r["kind"], r["n"], r["k"], r["mode"], r["threads"], r["engine"]): r["seconds"]
        for r in result["times"]
    }

    def seconds(engine: str, bits: int, n: int, kind: str, mode: str = "single") -> float | None:
        return times.get((bits, kind, n, 10, mode, 1, engine))

    def ratio(
        what: str, bar: float, above: float | None, below: float | None, at_most: bool = False
    ) -> Iterator[dict[str, Any]]:
        if above is not None and below is not None:
            value = above / below
            kept = value <= bar if at_most else value >= bar
            yield {"what": what, "value": value, "bar": bar, "at_most": at_most, "kept": kept}

    def against(
        peer: str, bits: int, n: int, bar: float, kind: str = "uniform", mode: str = "single"
    ) -> Iterator[dict[str, Any]]:
        name = f"{bits} bits vs {peer}, {_size(n)}, {kind}" + (", batch of 2,000" if mode == "batch" else "")
        return ratio(name, bar, seconds(peer, bits, n, kind, mode), seconds("mcmfh", bits, n, kind, mode))

    yield from against("faiss Hash, exact", 16, 10**7, 2)
    yield from against("faiss Hash, exact", 16, 10**7, 8, "clustered")
    for n, bar in {10**6: 200, 10**7: 2_000}.items():
        yield from against("faiss Flat, padded to 32", 16, n, bar)
    for n, bar in {10**6: 800, 10**7: 8_000, 10**8: 80_000}.items():
        yield from against("faiss Flat", 16, n, bar)
    for kind in ("uniform", "clustered"):
        small, great = (seconds(engine, 16, 10**8, kind) for engine in ("mcmfh, first 10⁵ items only", "mcmfh"))
        yield from ratio(f"16 bits, time at 10⁸ over time at 10⁵, {kind}", 1.3, great, small, at_most=True)
    for bits, uniform, clustered in ((32, 200, 1_000), (64, 20, 400), (128, 2, 100)):
        yield from against("faiss Flat", bits, 10**7, uniform)
        yield from against("faiss Flat", bits, 10**7, clustered, "clustered")
    for bits, kind, n in sorted(
        {(r["bits"], r["kind"], r["n"]) for r in result["times"] if r["engine"] == "own scan only"}
    ):
        ways = (seconds(engine, bits, n, kind) for engine in ("own tables only", "own scan only"))
        better = min(way for way in ways if way is not None)
        name = f"{bits} bits, own choice over the better way, {_size(n)}, {kind}"
        yield from ratio(name, 1.5, seconds("mcmfh", bits, n, kind), better, at_most=True)
    yield from against("faiss Flat", 16, 10**7, 25_000, mode="batch")
    yield from against("faiss Flat", 64, 10**7, 120, "clustered", mode="batch")
    for n, bar in {10**5: 2_000, 10**6: 20_000}.items():
        floats = seconds("faiss IndexFlatIP, 512 floats", 16, n, "float")
        yield from ratio(
            f"16 bits vs 512 floats (IndexFlatIP), {_size(n)}", bar, floats, seconds("mcmfh", 16, n, "uniform")
        )
    inline, reference = (seconds(f"own layout {layout}", 64, 10**7, "uniform") for layout in ("inline", "reference"))
    yield from ratio("64 bits, inline layout vs reference, 10⁷, uniform", 1.5, reference, inline)
    if "histograms" in result["facts"]:
        taken = result["facts"]["histograms"]
        yield from ratio("tie-aware mAP tables vs argsort loop, 2,000 × 20,000", 100, taken["loop"], taken["tables"])


def describe_machine() -> str:
    """Processor, cores, and the versions that matter."""
    names = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    libraries = ", ".join(f"{name} {version(name)}" for name in ("numpy", "numba", "faiss-cpu", "usearch"))
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores, {platform.system()}; {libraries}"


def plot(times: list[dict[str, Any]], path: Path) -> None:
    """Time of one query over archive size, a panel for each code length, clustered codes dashed."""
    from matplotlib.figure import Figure

    lengths = sorted({row["bits"] for row in times})
    figure = Figure(figsize=(3.4 * len(lengths), 3.6), layout="constrained")
    panels = figure.subplots(1, len(lengths), sharey=True, squeeze=False)[0]
    shown = [
        r
        for r in times
        if r["mode"] == "single" and r["k"] == 10 and r["engine"].split()[0] in ("mcmfh", "faiss", "numpy")
    ]
    engines = [e for e in dict.fromkeys(r["engine"] for r in shown) if "floats" not in e]
    for panel, bits in zip(panels, lengths):
        for number, engine in enumerate(engines):
            for kind, style in (("uniform", "-"), ("clustered", "--")):
                points = sorted(
                    (r["n"], r["seconds"] * 1e6)
                    for r in shown
                    if (r["bits"], r["engine"], r["kind"]) == (bits, engine, kind)
                )
                if points:
                    label = engine if kind == "uniform" else None
                    panel.loglog(*zip(*points), style, color=f"C{number}", marker="o", markersize=3, label=label)
        panel.set_title(f"{bits} bits")
        panel.set_xlabel("items")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("µs a query (one thread, k = 10)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(engines), frameon=False)
    figure.savefig(path, dpi=110)


def _times_table(times: list[dict[str, Any]]) -> Iterator[str]:
    rows = [r for r in times if r["mode"] == "single" and r["k"] == 10]
    for bits, engine in dict.fromkeys((r["bits"], r["engine"]) for r in rows):
        cells = []
        for n in _EXPONENTS:
            seconds = {r["kind"]: r["seconds"] for r in rows if (r["bits"], r["engine"], r["n"]) == (bits, engine, n)}
            cells.append(" / ".join(_number(s * 1e6) for s in seconds.values()) or "–")
        yield f"| {bits} bits, {engine} | {' | '.join(cells)} |"


def _size(n: int) -> str:
    return _EXPONENTS.get(n, f"{n:,}")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
