"""A stored document states its own digest: no change of it is read as a document."""

import json
import subprocess

import pytest

from mcmfh.store import documents, files, numbered
from mcmfh.store.documents import Damaged
from mcmfh.store.sealed import once, stored

VALUES = [{"a": 1, "b": [1, 2], "c": None}, {}, {"value": 3}, [], ["a", {"b": 1}], 5, "text", None, {"1": "x" * 64}]


@pytest.mark.parametrize("value", VALUES)
def test_no_flipped_bit_is_read_as_a_document(value, tmp_path):
    uri = str(tmp_path / "document.json")
    assert documents.create(uri, value)
    data = files.read(uri)
    assert documents.read(uri) == value
    assert documents.states_digest(data)
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Damaged):
            documents.opened(uri, bytes(changed))


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("length", [0, 1, -1])
def test_no_cut_document_is_read(value, length, tmp_path):
    with pytest.raises(Damaged):
        documents.opened("u", documents.sealed(value)[:length])


@pytest.mark.parametrize("value", [{"a": 1}, [1], {"digit": "b" * 64}])
def test_older_documents_are_read_as_they_are(value):
    assert documents.opened("u", files.canonical_json(value)) == value


def test_numbered_documents_markers_and_results_are_verified(tmp_path):
    folder = files.absolute(str(tmp_path))
    numbered.append(folder, lambda head: {"items": 12})
    once(f"{folder}/result.json", lambda: {"score": 0.5})
    assert json.loads(files.read(f"{folder}/000001.json"))["digest"] == files.digest({"items": 12})
    for name, read in {
        "000001.json": lambda: numbered.get(folder, 1),
        "result.json": lambda: stored(f"{folder}/result.json"),
    }.items():
        path = tmp_path / name
        subprocess.run(["sed", "-i", "s/12/13/; s/0.5/0.6/", path], check=True)
        with pytest.raises(Damaged, match="was changed after it was written; restore it from a copy"):
            read()
