"""Documents name what lies below their store relative to it."""

import pyarrow as pa
import pytest

from mcmfh.store import files, relative

STORES = ("s3://bucket/a store", "file:///data/store")


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize(
    "rest", ["bundles/1", "ü/%20 x.png", "a..b/c", "phantom-3/images/1.dcm!/member", "C:\\x", "x:y"]
)
def test_what_is_below_the_store_is_named_relative_to_it_and_follows_it(store, rest):
    assert relative.named(store, f"{store}/{rest}") == rest
    for other in STORES:
        assert relative.address(other, rest) == f"{other}/{rest}"


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/a store2/x",
        "s3://bucket/a store",
        "s3://bucket/a store/",
        "s3://bucket/a store//x",
        "s3://bucket/a store/../x",
        "s3://bucket/a store/x/..",
        "s3://bucket/a store/s3://x",
        "file:///s3:/bucket/a store/x",
    ],
)
def test_what_lies_outside_or_would_not_lead_back_stays_absolute(uri):
    assert relative.named(STORES[0], uri) == uri
    assert relative.address(STORES[1], uri) == uri


def test_a_column_is_named_as_its_values_are_and_nulls_stay():
    uris = ["file:///data/store/a", None, "file:///data/storey", "s3://x/y", "file:///data/store/../x"]
    column = pa.chunked_array([pa.array(uris[:2]), pa.array(uris[2:], pa.string())])
    names = relative.named_column(STORES[1], column)
    assert names.to_pylist() == ["a", None, *uris[2:]]
    assert relative.address_column(STORES[1], names).to_pylist() == uris


def test_a_sealed_folder_of_the_store_goes_before_an_absolute_name(tmp_path):
    store = files.absolute(str(tmp_path))
    old, own = "s3://gone/bundles/abc", f"{store}/bundles/abc"
    assert relative.sealed_address(store, old, f"{store}/bundles") == old
    files.create(f"{own}/config.json", b"{}")
    assert relative.sealed_address(store, old, f"{store}/bundles") == own
    assert relative.sealed_address(store, "bundles/abc", f"{store}/bundles") == own
