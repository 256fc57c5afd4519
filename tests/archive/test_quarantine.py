"""The quarantine table: a fixed schema, create-only, deterministic."""

from mcmfh.archive.quarantine import SCHEMA, count_reasons, quarantine_table, read_quarantine, write_quarantine


def test_round_trip_and_counts(tmp_path):
    rows = [
        {"item_id": "b", "row": 1, "reason": "empty report", "digest": "d1"},
        {"item_id": "a", "row": 7, "reason": "image is truncated", "digest": None},
        {"item_id": "a", "row": 2, "reason": "empty report"},
    ]
    table, uris = quarantine_table(rows), [str(tmp_path / name) for name in ("1.parquet", "2.parquet")]
    assert table.schema == SCHEMA
    assert table["row"].to_pylist() == [2, 7, 1]
    assert all(write_quarantine(table, uri) for uri in uris)
    assert not write_quarantine(table, uris[0])
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()
    assert read_quarantine(uris[0]).equals(table)
    assert read_quarantine(uris).num_rows == 6
    assert read_quarantine([]).equals(SCHEMA.empty_table())
    assert count_reasons(table) == {"empty report": 2, "image is truncated": 1}
