"""Patient-level splits: a group (patient, case) stands on one side."""

import hashlib
from collections.abc import Iterable, Sequence

import pyarrow as pa


def split_of(group: str) -> str:
    """test, validation or train (20, 10 and 70 per cent) by the sha1 of the group's name: everywhere the same."""
    bucket = int.from_bytes(hashlib.sha1(group.encode()).digest(), "big") % 100
    return "test" if bucket < 20 else "validation" if bucket < 30 else "train"


def with_splits(table: pa.Table) -> pa.Table:
    """A manifest table whose `split` is filled by `split_of`, unless any row has one already."""
    if table["split"].null_count < table.num_rows:
        return table
    splits = pa.array([split_of(group) for group in table["group"].to_pylist()], pa.string())
    return table.set_column(table.column_names.index("split"), "split", splits)


def merge_groups(groups: Sequence[str], pairs: Iterable[tuple[int, int]]) -> list[str]:
    """Groups after merging those of every pair of rows (union-find): each takes the least name of its members."""
    root = {group: group for group in groups}

    def find(group: str) -> str:
        while root[group] != group:
            root[group] = group = root[root[group]]
        return group

    for first, second in pairs:
        low, high = sorted((find(groups[first]), find(groups[second])))
        root[high] = low
    return [find(group) for group in groups]
