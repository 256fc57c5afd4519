"""Erasure of items from a store's embeddings: their vectors, texts and names leave every unit of every encoder.

A unit that holds such an item is written anew without it, under another name, before its marker and then its file are
deleted. Where the process dies in between, the other items have their vectors twice, and the next try goes on.
"""

from collections.abc import Collection, Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mcmfh.archive.order import KeyRange, keys
from mcmfh.embeddings import units
from mcmfh.store import files, layout


def erase_items(store: str, items: Collection[str]) -> Iterator[str]:
    """Erase `items` (item_ids) from the embeddings of `store`; yields a sentence for each file that was rewritten."""
    root = layout.embeddings_root(store)
    for encoder in files.names(root):
        folder = files.join(root, encoder)
        if plans := files.names(layout.earlier_plans(folder)):
            files.delete_tree(layout.earlier_plans(folder))
            yield f"embeddings/{encoder}/plans: {len(plans)} plans of an earlier version deleted"
        marked = set(units.done_units(folder))
        stored = {name.removesuffix(".parquet") for name in files.names(files.parent(layout.unit_uri(folder, "any")))}
        for unit in sorted(stored):
            if count := _erase_from(folder, unit, items, unit in marked):
                yield f"embeddings/{encoder}/units/{unit}.parquet: {count} rows erased"


def _erase_from(folder: str, unit: str, items: Collection[str], marked: bool) -> int:
    """How many rows of a unit were erased. A unit without a marker was never finished, and is deleted as a whole."""
    with files.open_file(layout.unit_uri(folder, unit)) as file:
        names = pq.read_table(file, columns=["item_id"])["item_id"]
    erased = pc.is_in(names, value_set=pa.array(sorted(items), pa.string()))
    count = pc.sum(erased).as_py() or 0
    if count and marked:
        left = units.read_unit(folder, unit).filter(pc.invert(erased))
        if left.num_rows:
            units.write_unit(folder, _name(left), left)
        files.delete(layout.unit_marker(folder, unit))
    if count:
        files.delete(layout.unit_uri(folder, unit))
    return count


def _name(table: pa.Table) -> str:
    """A unit's name: the range of its keys, and a digest of its items that no plan would give it."""
    hashes = keys(table["item_id"])
    pairs = table.select(["item_id", "fingerprint"]).to_pylist()
    return f"{KeyRange(int(hashes.min()), int(hashes.max()))}-{files.digest(['erased', pairs])}"
