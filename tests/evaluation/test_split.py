"""The split object: what it keeps together, what it leaves out, and that it says why."""

from dataclasses import replace
from datetime import date
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmfh.archive.splits import split_of
from mcmfh.errors import InputError
from mcmfh.evaluation.split import Members, Twins, make_split

CUT = date(2018, 1, 1)


def members(archive="a", n=120, seed=0, **more):
    """Studies of two items, patients of up to three studies, some equal texts, some items without a date."""
    random = np.random.default_rng(seed)
    study = np.arange(n) // 2
    patient = random.integers(0, n // 4, n // 2)[study]
    texts = np.where(random.random(n) < 0.1, "", np.char.add("t", random.integers(0, n, n).astype(str)))
    dates = random.choice(["2015-03-01", "2016", "2019-02", "31.12.2020", "", "2018"], n)
    return Members(
        archive,
        **{
            "item_id": np.array([f"i{i}" for i in range(n)]),
            "group": np.char.add("p", patient.astype(str)),
            "study": np.char.add("s", study.astype(str)),
            "text_key": texts,
            "date": dates,
            "split": np.full(n, ""),
            **more,
        },
    )


PROTOCOLS = {
    "by group": {},
    "by date": {"until": CUT},
    "two archives": {"source": True},
    "two archives of one name": {"source": "a"},
    "two archives by date": {"source": True, "until": CUT},
}


def split_under(protocol, target, source):
    asked = dict(PROTOCOLS[protocol])
    size = len(target.item_id) + (len(source.item_id) if asked.get("source") else 0)
    twins = Twins(np.random.default_rng(size).integers(0, size, (12, 2)), "drawn")
    if asked.get("source"):
        asked["source"] = replace(source, archive="a") if asked["source"] == "a" else source
    return make_split(target, **asked, twins=twins)


def together(split):
    """Pairs of positions that may not stand on two sides, one after the other."""
    for names in (split.patient, split.study, split.text_key):
        for name in set(names.tolist()) - {""}:
            yield from pairwise(np.flatnonzero(names == name))
    yield from split.twins.pairs


@pytest.mark.parametrize("protocol", PROTOCOLS)
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_what_belongs_together_is_on_one_side(protocol, seed):
    try:
        split = split_under(protocol, members(seed=seed), members("b", 160, seed + 1))
    except InputError as error:
        assert "leaves nothing to" in str(error)
        return
    for first, second in together(split):
        assert split.group[first] == split.group[second]
        assert {split.role[first], split.role[second]} - {""} != {"train", "test"}
        assert {split.role[first], split.role[second]} - {""} != {"validation", "test"}
        assert {split.role[first], split.role[second]} - {""} != {"validation", "train"}
    assert ((split.role != "") | (split.left_out != "")).all()


@pytest.mark.parametrize("protocol", ["two archives", "two archives by date"])
def test_one_archive_trains_and_the_other_is_asked(protocol):
    target, source = members(seed=3), members("b", 200, 4)
    split = split_under(protocol, target, source)
    assert set(split.role[split.part(0)]) <= {"train", "validation", ""}
    assert set(split.role[split.part(1)]) <= {"test", ""}


def test_two_archives_by_date_keep_to_both_options():
    target, source = members(seed=3), members("b", 200, 4)
    split = split_under("two archives by date", target, source)
    dates = np.concatenate([source.date, target.date])
    assert set(dates[np.isin(split.role, ("train", "validation"))]) <= {"2015-03-01", "2016"}
    assert set(dates[split.role == "test"]) == {"2018", "2019-02", "31.12.2020"}


def test_the_manifest_has_the_say_about_its_own_split():
    sides = np.array(["train", "validation", "test", ""])[np.arange(120) % 4]
    target = members(split=sides, group=np.char.add("p", np.arange(120).astype(str)))
    split = make_split(target)
    assert split.role.tolist() == sides.tolist()
    assert split.protocol == "the manifest's split"
    with pytest.raises(InputError, match="two sides"):
        make_split(replace(target, group=np.full(120, "p")))


def test_without_options_a_group_has_the_role_of_its_name():
    plain = members(text_key=np.full(120, ""))
    split = make_split(plain)
    assert split.group.tolist() == plain.group.tolist()
    assert split.role.tolist() == [split_of(name) for name in plain.group.tolist()]


@pytest.mark.parametrize("column", ["study", "text_key", "twins"])
def test_each_reason_merges_patients_and_is_named(column):
    alone = np.array([f"x{i}" for i in range(120)])
    plain = members(group=alone, study=alone, text_key=alone)
    assert make_split(plain).group.tolist() == alone.tolist()
    if column == "twins":
        split = make_split(plain, twins=Twins(np.array([[4, 77]]), "all were compared"))
        assert "all were compared" in split.line()
    else:
        split = make_split(replace(plain, **{column: np.where(alone == "x77", "x4", alone)}))
        assert "were not looked for" in split.line()
    assert split.group[4] == split.group[77] == "x4"
    assert "1 groups merged" in split.line()
    reason = {"study": "of the same study", "text_key": "with an equal text", "twins": "with a twin picture"}[column]
    assert f"beside i4 {reason}" in split.why("i77")


def test_a_text_that_a_third_of_the_patients_share_is_not_asked():
    """One question forty times over would be the test set."""
    for name in ("p1", "p2", "p3", "p4", "p5", "p6", "p7"):
        alone = np.array([f"{name}-{i}" for i in range(120)])
        texts = np.where(np.arange(120) % 3 == 0, "no finding", alone)
        split = make_split(members(group=alone, study=alone, text_key=texts))
        assert set(split.role[texts == "no finding"]) == {"train"}


def test_it_says_why_an_item_is_where_it_is():
    split = make_split(members(seed=5), CUT)
    for role, left_out, item in zip(split.role, split.left_out, split.item_id):
        sentence = split.why(item)
        assert sentence.startswith(f"'{item}' is {role or 'in no part'} (train before 2018-01-01")
        assert left_out in sentence
    with pytest.raises(InputError, match="'nobody' is not in the split"):
        split.why("nobody")


def test_the_digest_covers_who_has_which_role():
    target = members(seed=3)
    split = make_split(target)
    assert split.digest == make_split(target).digest
    assert split.digest[:12] in split.line()
    others = [
        make_split(target, CUT),
        make_split(replace(target, archive="b")),
        make_split(replace(target, group=np.char.add("q", target.group))),
        make_split(target, source=members("b", 160, 4)),
    ]
    assert len({split.digest, *(each.digest for each in others)}) == 5


def test_impossible_splits_are_refused():
    with pytest.raises(InputError, match="leaves nothing to test"):
        make_split(members(), date(2099, 1, 1))
    with pytest.raises(InputError, match="leaves nothing to train"):
        make_split(members(), source=members("a"))


def test_a_twin_of_a_twin_is_met_too():
    """The pairs connect equal pictures through one of them: two others are no pair of their own."""
    alone = np.array([f"x{i}" for i in range(8)])
    sides = np.array(["train", *["test"] * 4, "validation", "validation", "train"])
    plain = members(n=8, group=alone, study=alone, text_key=alone, split=sides)
    split = make_split(plain, twins=Twins(np.array([[0, 1], [1, 2], [2, 5], [3, 4]]), "all were compared"))
    assert split.item_id[split.met_in_train].tolist() == ["i1", "i2", "i5"]
    assert "beside i0, i1, i2 with a twin picture" in split.why("i5")
