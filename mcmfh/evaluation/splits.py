"""Splits of tables by date, and of one dataset against another. See `split` for the object that makes them."""

from mcmfh.archive.dates import parse_date
from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.evaluation.joined import group_percentile, join_tables
from mcmfh.evaluation.split import Members, make_split

__all__ = ["cross_dataset_split", "group_percentile", "join_tables", "temporal_split"]


def temporal_split(table: EmbeddingTable, cut: str, validation_percent: int = 10) -> EmbeddingTable:
    """Train on items before the date `cut`, test on the others; some of the earlier groups become validation.

    Dates are written in one of the formats that `archive.dates` lists. A group with items on both sides keeps only the
    earlier ones: a patient of the training set is no new patient. Items without a date are left out, and items whose
    month or year holds the cut. Raises InputError for a date that cannot be read, and when a side is empty.
    """
    members = Members.of_table(table, table.archive)
    return make_split(members, parse_date(cut).first, validation_percent=validation_percent).apply([table])


def cross_dataset_split(
    source: EmbeddingTable,
    target: EmbeddingTable,
    validation_percent: int = 10,
    archives: tuple[str, str] = ("source", "target"),
) -> EmbeddingTable:
    """Train and validate on `source`, test on the whole of `target`; label columns are matched by name.

    `archives` names the archives that the tables come from. Two exports of one archive have one name, and then equal
    names of groups and studies mean the same (see `join_tables`). Source items whose group or report text also occurs
    in the target are left out. Both tables must come from the same encoder. Raises InputError when a side is empty.
    """
    first, second = (Members.of_table(table, name) for table, name in zip((source, target), archives))
    return make_split(second, source=first, validation_percent=validation_percent).apply([source, target])
