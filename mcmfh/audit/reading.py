"""Reads and verifies an audit: every line, every chain, the list of heads, and what is still on this machine alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcmfh.audit import addresses
from mcmfh.audit.chain import START, Broken, Secret, parsed_lines, verified_records
from mcmfh.audit.heads import Head, Segment, read_heads
from mcmfh.audit.writer import left_lines
from mcmfh.store import files


@dataclass(frozen=True)
class Audit:
    """records: in the order of their time; faults: sentences; heads: the list of heads; `open`: chains without an end.

    heads is empty where the list is broken.
    """

    records: list[dict[str, Any]]
    faults: list[str]
    heads: list[Head]
    open: list[str]


def read_audit(root: str, secret: Secret, folder: Path | None = None) -> Audit:
    """The audit of the archive at `root`; `folder`: where processes of this machine write. Never raises Broken."""
    records: list[dict[str, Any]] = []
    faults: list[str] = []
    # What is not sealed yet is read first: a line that is sealed meanwhile is then read twice, but never missed.
    homes = sorted(folder.iterdir()) if folder is not None and folder.is_dir() else []
    left = {home.name: left_lines(home) for home in homes}
    stored = {name.removesuffix(".jsonl") for name in files.names(addresses.segments_folder(root))}
    try:
        heads = read_heads(root, secret)
    except Broken as error:
        return Audit([], [str(error)], [], [])
    chains: dict[str, list[Segment]] = {}
    for head in heads:
        chains.setdefault(head.segment.chain, []).append(head.segment)
    for chain, segments in chains.items():
        records += _read_chain(root, secret, chain, segments, faults)
    for chain, data in left.items():
        records += _read_left(secret, chain, data, chains.get(chain, []), faults)
    listed = {segment.lines for segments in chains.values() for segment in segments}
    known = {record["previous"] for record in records}
    for name in sorted(stored - listed):
        if not _lines_of(root, name) <= known:
            faults.append(f"segment {name[:12]} is on no list of heads: heads were removed, or its process was cut off")
    ended = {chain for chain, segments in chains.items() if segments[-1].closed}
    records.sort(key=lambda record: str(record.get("time")))
    return Audit(records, faults, heads, sorted(chains.keys() - ended))


def local_folder(folder: str, root: str) -> Path:
    """Where the processes of this machine write the chains of the archive at `root`."""
    return Path(folder).expanduser() / files.digest(files.absolute(root).encode())[:16]


def matching(
    records: list[dict[str, Any]], who: str | None, names: Mapping[str, set[str]] | None
) -> list[dict[str, Any]]:
    """The records of a key or subject, and those that show an item or study of `names` (kind → digests)."""
    chosen = [record for record in records if who is None or record.get("who") == who]
    if names is None:
        return chosen
    return [record for record in chosen if any(names[kind] & set(record.get(kind, ())) for kind in names)]


def _read_chain(
    root: str, secret: Secret, chain: str, segments: list[Segment], faults: list[str]
) -> Iterator[dict[str, Any]]:
    number, mac = 0, START
    for segment in segments:
        if segment.first != number + 1:
            faults.append(f"chain {chain}: lines {number + 1} to {segment.first - 1} are missing")
        try:
            if segment.last >= segment.first:
                data = files.read(addresses.segment_file(root, segment.lines))
                if files.digest(data) != segment.lines:
                    raise Broken("the segment was changed")
                yield from list(verified_records(secret, data, segment.first, mac))
        except FileNotFoundError:
            faults.append(f"chain {chain}: the segment of lines {segment.first} to {segment.last} was removed")
        except Broken as error:
            faults.append(f"chain {chain}, lines {segment.first} to {segment.last}: {error}")
        number, mac = segment.last, segment.last_mac


def _read_left(
    secret: Secret, chain: str, data: bytes, sealed: list[Segment], faults: list[str]
) -> Iterator[dict[str, Any]]:
    """The records that a process of this machine has written and not sealed yet."""
    number, mac = (sealed[-1].last, sealed[-1].last_mac) if sealed else (0, START)
    try:
        lines = zip(data.splitlines(keepends=True), parsed_lines(data))
        fresh = [line for line, fields in lines if fields["number"] > number]
        yield from list(verified_records(secret, b"".join(fresh), number + 1, mac))
    except Broken as error:
        faults.append(f"chain {chain}, on this machine: {error}")


def _lines_of(root: str, name: str) -> set[str]:
    """The MACs that the lines of a segment follow; it is not verified."""
    try:
        return {fields["previous"] for fields in parsed_lines(files.read(addresses.segment_file(root, name)))}
    except (Broken, FileNotFoundError):
        return {"unreadable"}
