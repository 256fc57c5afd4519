"""Numbered documents: nobody's write is lost, nothing is overwritten."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from mcmfh.store import numbered


def test_numbers_grow_from_one(tmp_path):
    folder = f"file://{tmp_path}/log"
    assert numbered.head(folder) is None
    for expected in (1, 2, 3):
        number, _ = numbered.append(folder, lambda head: {"after": head[0] if head else None})
        assert number == expected
    assert numbered.head(folder) == (3, {"after": 2})
    assert numbered.numbers(folder) == [1, 2, 3]


def test_nothing_to_add_keeps_the_head(tmp_path):
    folder = f"file://{tmp_path}/log"
    numbered.append(folder, lambda head: {"a": 1})
    assert numbered.append(folder, lambda head: None) == (1, {"a": 1})
    assert numbered.numbers(folder) == [1]


@pytest.mark.parametrize("name", ["².json", "٣.json", "7.json", "000002 (copy).json", "-00003.json", "00001e.json"])
def test_files_of_others_are_no_documents(tmp_path, name):
    folder = f"file://{tmp_path}/log"
    numbered.append(folder, lambda head: {"a": 1})
    (tmp_path / "log" / name).write_text("{}")
    assert numbered.head(folder) == (1, {"a": 1})
    assert numbered.append(folder, lambda head: {"a": 2})[0] == 2


def test_racing_writers_build_on_each_other(tmp_path):
    folder = f"file://{tmp_path}/log"

    def add(name: str) -> None:
        numbered.append(folder, lambda head: {"names": [*(head[1]["names"] if head else []), name]})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, [str(i) for i in range(24)]))
    number, document = numbered.head(folder)
    assert number == 24
    assert sorted(document["names"], key=int) == [str(i) for i in range(24)]
