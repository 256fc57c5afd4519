"""Create-only writes and URIs, on a local disk and on servers of S3, Azure and Google."""

from concurrent.futures import ThreadPoolExecutor

import fsspec
import pytest

from mcmfh.errors import InputError
from mcmfh.store import files


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.s3), "az", "gs"])
def root(request, tmp_path):
    return f"file://{tmp_path}" if request.param == "file" else request.getfixturevalue(f"{request.param}_root")


def test_create_writes_once_and_whole(root):
    uri = files.join(root, "a", "b.json")
    assert files.create(uri, b"first")
    assert not files.create(uri, b"second")
    assert files.read(uri) == b"first"
    assert files.read(uri, 1, 3) == b"ir"


def test_replace_writes_whatever_is_there(root):
    uri = files.join(root, "a", "c.json")
    for data in (b"first", b"second", b""):
        files.replace(uri, data)
        assert files.read(uri) == data
    assert files.names(files.join(root, "a")) == ["c.json"]
    assert not files.create(uri, b"third")


def test_of_many_racing_writers_exactly_one_wins(root):
    uri = files.join(root, "race")
    with ThreadPoolExecutor(12) as pool:
        won = list(pool.map(lambda i: files.create(uri, str(i).encode()), range(12)))
    assert sum(won) == 1
    assert files.read(uri) == str(won.index(True)).encode()


def test_listing_shows_what_was_created_and_nothing_hidden(root):
    for name in ("2.json", "1.json", "sub/3.json"):
        files.create(files.join(root, "list", name), b"x")
    assert files.names(files.join(root, "list")) == ["1.json", "2.json", "sub"]
    assert [uri.rpartition("list/")[2] for uri, _ in files.walk(files.join(root, "list"))] == [
        "1.json",
        "2.json",
        "sub/3.json",
    ]
    assert files.names(files.join(root, "nothing")) == []


def test_version_changes_with_the_object(root):
    uri = files.join(root, "v")
    files.create(uri, b"one")
    before = files.version(uri)
    files.delete(uri)
    files.create(uri, b"other")
    assert files.version(uri) != before


def test_missing_is_file_not_found_and_deleting_it_is_fine(root):
    with pytest.raises(FileNotFoundError):
        files.read(files.join(root, "missing"))
    files.delete(files.join(root, "missing"))


def test_probe_accepts_a_sound_store(root):
    files.probe(root)
    assert files.names(root) == []


def test_probe_names_a_store_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        files.probe(str(tmp_path / "file" / "store"))


def test_probe_refuses_a_store_that_overwrites(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "create", lambda uri, data: True)
    with pytest.raises(InputError, match="created twice"):
        files.probe(str(tmp_path))


class Overwriting(fsspec.get_filesystem_class("memory")):
    """A bucket that does not honour a create-only write."""

    def pipe_file(self, path, value, mode="create", **more):
        super().pipe_file(path, value, mode="overwrite", **more)


def test_a_bucket_of_google_that_overwrites_is_never_written(monkeypatch):
    bucket = Overwriting()
    monkeypatch.setattr(files, "open_scheme", lambda scheme: bucket)
    for _ in range(2):
        with pytest.raises(InputError, match="created twice"):
            files.create("gs://overwriting/a/b", b"x")
    assert not bucket.exists("overwriting/a/b")


def test_unknown_schemes_are_refused():
    with pytest.raises(InputError, match="gopher"):
        files.read("gopher://host/file")


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
    assert files.join(*parts) == joined


def test_digest_is_of_canonical_json():
    assert files.digest({"b": 1, "a": "é"}) == files.digest('{"a":"é","b":1}'.encode())
