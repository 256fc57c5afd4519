"""Splits by group (patient or case): all items of a group are on one side."""

import hashlib
from collections.abc import Iterable, Sequence

import pyarrow as pa


def split_of(group: str) -> str:
    """ "test", "validation" or "train" (20, 10 and 70 per cent), by the sha1 of the group's name."""
    bucket = int.from_bytes(hashlib.sha1(group.encode()).digest(), "big") % 100
    return "test" if bucket < 20 else "validation" if bucket < 30 else "train"


def with_splits(table: pa.Table) -> pa.Table:
    """The manifest table with `split` filled by `split_of`; unchanged where any row already has a split."""
    if table["split"].null_count < table.num_rows:
        return table
    splits = pa.array([split_of(group) for group in table["group"].to_pylist()], pa.string())
    return table.set_column(table.column_names.index("split"), "split", splits)


def merge_groups(groups: Sequence[str], pairs: Iterable[tuple[int, int]]) -> list[str]:
    """The group of each row after the groups of every pair of rows are merged (union-find).

    A merged group takes the least name of its members.
    """
    parent = {group: group for group in groups}

    def representative(group: str) -> str:
        while parent[group] != group:
            parent[group] = group = parent[parent[group]]
        return group

    for first, second in pairs:
        low, high = sorted((representative(groups[first]), representative(groups[second])))
        parent[high] = low
    return [representative(group) for group in groups]
