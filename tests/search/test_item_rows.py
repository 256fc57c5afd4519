"""The table item_id → row answers as a dictionary does."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmfh.search.item_rows import ItemRows, bucket_bits, string_hashes, write_item_rows
from mcmfh.search.mapped import MappedRows


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), unique=True, max_size=60), st.data())
@settings(max_examples=50, deadline=None)
def test_the_table_of_names_is_a_dictionary(tmp_path_factory, names, data):
    folder = tmp_path_factory.mktemp("names")
    live = np.array(data.draw(st.lists(st.booleans(), min_size=len(names), max_size=len(names))), bool)
    with pa.ipc.new_file(str(folder / "a.arrow"), pa.schema([("item_id", pa.string())])) as writer:
        for at in range(0, len(names), 7):
            writer.write_batch(pa.record_batch({"item_id": pa.array(names[at : at + 7], pa.string())}))
    items = MappedRows([folder / "a.arrow"])
    write_item_rows(folder / "names.npy", items, live)
    table = ItemRows(folder / "names.npy", items, int(live.sum()))
    assert [table.row(name) for name in names] == [row if live[row] else None for row in range(len(names))]
    assert table.bits == bucket_bits(int(live.sum()))
    assert len(np.unique(string_hashes(pa.array(names, pa.string())))) == len(names)
