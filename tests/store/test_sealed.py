"""Sealed folders notice every change; what is computed once is computed once, whoever else computes it."""

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from mcmfh.errors import InputError
from mcmfh.store import documents, files
from mcmfh.store.sealed import Kind, once, once_bytes, stored

KIND = Kind("test-1", ("a.bin", "b.json"), "parcel", "pack again")
CONTENTS = {"a.bin": b"\x00\x01", "b.json": b"{}"}


@pytest.fixture
def parcel(tmp_path) -> str:
    return KIND.seal(f"file://{tmp_path}", CONTENTS, {"size": 3})


def test_equal_contents_are_one_folder_and_are_read_back(parcel, tmp_path):
    assert KIND.seal(f"file://{tmp_path}", CONTENTS, {"size": 3}) == parcel
    assert KIND.seal(f"file://{tmp_path}", CONTENTS, {"size": 4}) != parcel
    folder = KIND.open(parcel)
    assert (folder.contents, folder.config["size"], folder.uri) == (CONTENTS, 3, parcel)
    assert parcel.endswith(folder.digest)


def test_the_digest_is_that_of_all_names_and_digests(parcel):
    digests = [(name, files.digest(files.read(files.join(parcel, name)))) for name in files.names(parcel)]
    assert parcel.endswith("/" + files.digest(sorted(digests)))


@pytest.mark.parametrize("name", [*CONTENTS, "config.json"])
@pytest.mark.parametrize("damage", ["changed", "cut", "missing"])
def test_every_damaged_file_is_noticed(parcel, name, damage):
    uri = files.join(parcel, name)
    data = files.read(uri)
    files.delete(uri)
    if damage != "missing":
        files.create(uri, data[:-1] + b"\x7f" if damage == "changed" else data[:-1])
    with pytest.raises(InputError, match=r"parcel.*pack again|restore it") as error:
        _ = KIND.open(parcel).contents
    assert name in str(error.value)


@pytest.mark.parametrize(
    "config", [b"[]", b"null", b"{}", b'{"format": "test-1"}', b'{"format": "test-1", "files": 3}']
)
def test_a_config_that_is_not_one_is_refused(parcel, config):
    uri = files.join(parcel, "config.json")
    files.delete(uri)
    files.create(uri, config)
    with pytest.raises(InputError, match="damaged"):
        KIND.open(parcel)


def test_another_format_is_refused(parcel):
    with pytest.raises(InputError, match="this version reads test-2"):
        Kind("test-2", KIND.files, "parcel", "pack again").open(parcel)


def test_no_folder_is_said_so(tmp_path):
    with pytest.raises(InputError, match="no parcel at"):
        KIND.open(f"file://{tmp_path}/nothing")


def test_once_computes_once(tmp_path):
    uri, calls = f"file://{tmp_path}/result.json", []
    assert stored(uri) is None
    for _ in range(2):
        assert once(uri, lambda: calls.append(1) or {"b": 1, "a": (2,)}) == {"a": [2], "b": 1}
    assert len(calls) == 1
    assert stored(uri) == {"a": [2], "b": 1}
    assert files.read(uri) == documents.sealed({"a": [2], "b": 1})


def test_once_that_fails_stores_nothing(tmp_path):
    uri = f"file://{tmp_path}/result.json"
    with pytest.raises(ZeroDivisionError):
        once(uri, lambda: 1 / 0)
    assert not files.exists(uri)


def test_racing_writers_all_return_what_the_first_stored(tmp_path):
    uri, start = f"file://{tmp_path}/result", Barrier(8)

    def compute(number: int) -> bytes:
        return once_bytes(uri, lambda: (start.wait(), json.dumps(number).encode())[1])

    with ThreadPoolExecutor(8) as pool:
        results = set(pool.map(compute, range(8)))
    assert results == {files.read(uri)}
