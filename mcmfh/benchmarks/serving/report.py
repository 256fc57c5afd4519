"""The measurements of the endpoint as text: a table, and the ratios of the endpoint to its peers."""

from typing import Any

ROWS = {"code": "queries given as a code, 32 at once", "report": "reports, 32 at once", "report alone": "reports, one"}


def table(items: int, measured: dict[str, Any]) -> str:
    """Markdown of the measurements of `run_serving` for an archive of `items`."""
    servers, opening = measured["servers"], measured["opening"]
    lines = [
        f"{items:,} items of 16 bits; medians",
        "",
        "| load | server | requests/s | p50 ms | p99 ms | CPU ms a request | of the load generator |",
        "|---|---|---|---|---|---|---|",
    ]
    for load in next(iter(servers.values())):
        for server, by_load in servers.items():
            one = by_load[load]
            cells = [ROWS[load], server, *(f"{one[name]:.3g}" for name in ("rate", "p50", "p99", "cpu_ms"))]
            lines.append(f"| {' | '.join(cells)} | {one['cpu']:.0%} of a core |")
    mine, peer, padded, bare = (servers[name] for name in ("endpoint", "faiss, flat", "faiss, padded", "bare uvicorn"))
    lines += ["", f"requests/s over faiss, codes: {mine['code']['rate'] / peer['code']['rate']:.2f} ×"]
    lines += [f"… over faiss padded to 32 bits: {mine['code']['rate'] / padded['code']['rate']:.2f} ×"]
    lines += [f"CPU a request over bare uvicorn: {mine['code']['cpu_ms'] / bare['code']['cpu_ms']:.2f} ×"]
    if "report" in mine:
        lines += [
            f"requests/s over faiss, reports: {mine['report']['rate'] / peer['report']['rate']:.2f} × "
            f"(padded {mine['report']['rate'] / padded['report']['rate']:.2f} ×)",
            f"p50 over faiss, one report: {mine['report alone']['p50'] / peer['report alone']['p50']:.2f} × "
            f"(padded {mine['report alone']['p50'] / padded['report alone']['p50']:.2f} ×)",
        ]
    lines += [
        f"opening it: {opening['seconds']:.2f} s to the first answer, {opening['mib']:.0f} MiB of a replica's own"
    ]
    return "\n".join(lines)
