"""Create-only writes and URIs, on a local disk and on a real S3 server."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from mcmfh import storage
from mcmfh.errors import InputError


@pytest.fixture(params=["file", "s3"])
def root(request, tmp_path):
    if request.param == "file":
        return f"file://{tmp_path}"
    return request.getfixturevalue("s3_root")


def test_create_writes_once_and_whole(root):
    uri = storage.join(root, "a", "b.json")
    assert storage.create(uri, b"first")
    assert not storage.create(uri, b"second")
    assert storage.read(uri) == b"first"
    assert storage.read(uri, 1, 3) == b"ir"


def test_of_many_racing_writers_exactly_one_wins(root):
    uri = storage.join(root, "race")
    with ThreadPoolExecutor(12) as pool:
        won = list(pool.map(lambda i: storage.create(uri, str(i).encode()), range(12)))
    assert sum(won) == 1
    assert storage.read(uri) == str(won.index(True)).encode()


def test_listing_shows_what_was_created_and_nothing_hidden(root):
    for name in ("2.json", "1.json", "sub/3.json"):
        storage.create(storage.join(root, "list", name), b"x")
    assert storage.names(storage.join(root, "list")) == ["1.json", "2.json", "sub"]
    assert [uri.rpartition("list/")[2] for uri, _ in storage.walk(storage.join(root, "list"))] == [
        "1.json",
        "2.json",
        "sub/3.json",
    ]
    assert storage.names(storage.join(root, "nothing")) == []


def test_version_changes_with_the_object(root):
    uri = storage.join(root, "v")
    storage.create(uri, b"one")
    before = storage.version(uri)
    storage.delete(uri)
    storage.create(uri, b"other")
    assert storage.version(uri) != before


def test_missing_is_file_not_found_and_deleting_it_is_fine(root):
    with pytest.raises(FileNotFoundError):
        storage.read(storage.join(root, "missing"))
    storage.delete(storage.join(root, "missing"))


def test_probe_accepts_a_sound_store(root):
    storage.probe(root)
    assert storage.names(root) == []


def test_probe_names_a_store_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        storage.probe(str(tmp_path / "file" / "store"))


def test_probe_refuses_a_store_that_overwrites(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "create", lambda uri, data: True)
    with pytest.raises(InputError, match="created twice"):
        storage.probe(str(tmp_path))


def test_unknown_schemes_are_refused():
    with pytest.raises(InputError, match="gopher"):
        storage.read("gopher://host/file")


@pytest.mark.parametrize(
    ("parts", "joined"),
    [
        (("s3://bucket/a", "b", "c.json"), "s3://bucket/a/b/c.json"),
        (("s3://bucket", "b"), "s3://bucket/b"),
        (("file:///a", "/b"), "file:///b"),
        (("file:///a", "s3://c/d"), "s3://c/d"),
    ],
)
def test_join(parts, joined):
    assert storage.join(*parts) == joined


def test_digest_is_of_canonical_json():
    assert storage.digest({"b": 1, "a": "é"}) == storage.digest('{"a":"é","b":1}'.encode())
