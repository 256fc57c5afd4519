"""The record of whom a training saw: a set that can be asked and not read."""

from dataclasses import replace

import numpy as np
import pytest
from support.planted import planted_table

from mcmfh.embeddings.seen import Seen, refuse_seen
from mcmfh.errors import InputError
from mcmfh.store import files


def names(*values):
    return np.array(values)


def test_it_knows_its_members_and_survives_json():
    seen = Seen.of("a", ["p1", "p2"], ["s1"], ["text", ""])
    again = Seen.from_json(files.json.loads(files.canonical_json(seen.to_json())))
    for each in (seen, again):
        assert each.people("a", names("p1", "p2", "p3"), names("x", "y", "z")).tolist() == [True, True, False]
        assert each.people("a", names("p9", "p9"), names("s1", "s2")).tolist() == [True, False]
        assert each.texts(names("text", "other", "")).tolist() == [True, False, False]


def test_names_of_another_archive_or_kind_are_others():
    seen = Seen.of("a", ["p1"], ["s1"], ["t1"])
    assert not seen.people("b", names("p1"), names("s1")).any()
    assert not seen.people("a", names("s1"), names("p1")).any()
    assert not seen.people("", names("p1"), names("s1")).any()
    assert seen.people("", names("a/p1"), names("a/s1")).all(), "a joined table qualifies its names"


@pytest.mark.parametrize("count", [0, 1, 5000])
def test_it_confuses_no_one(count):
    seen = Seen.of("a", [f"p{i}" for i in range(count)], [], [])
    known = seen.people("a", np.array([f"p{i}" for i in range(10_000)]), np.array(["none"] * 10_000))
    assert known.sum() == count
    assert known[:count].all()


@pytest.mark.parametrize("column", ["group", "study"])
def test_what_was_seen_is_not_asked(column):
    table = planted_table(60)
    seen = Seen.of_table(table.of_split("train", "validation"))
    refuse_seen(seen, table, "the model", "train again")
    refuse_seen(None, table, "an old model", "train again")
    moved = replace(table, **{column: np.where(table.item_id == "item-4", "item-0", getattr(table, column))})
    with pytest.raises(InputError, match=r"the model was trained on the patients of 1 of 12 items .*'item-4'"):
        refuse_seen(seen, moved, "the model", "train again")
