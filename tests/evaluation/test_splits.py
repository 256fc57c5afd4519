"""Splits by time and by dataset: nothing on both sides."""

from dataclasses import replace

import numpy as np
import pytest

from mcmfh.errors import InputError
from mcmfh.evaluation import evaluate
from mcmfh.evaluation.joined import qualified
from mcmfh.evaluation.splits import cross_dataset_split, group_percentile, join_tables, temporal_split

from .conftest import make_table


def test_temporal_split_trains_before_and_asks_after():
    table = make_table(400)
    # One patient in three comes back years later, and some items have no date.
    dates = np.where(np.arange(400) % 9 == 2, "2024-06-01", table.date)
    table = replace(table, date=np.where(np.arange(400) % 11 == 0, "", dates))
    split = temporal_split(table, "2015-01-01")
    train, test = split.of_split("train", "validation"), split.of_split("test")
    assert set(split.split) == {"train", "validation", "test"}
    assert max(train.date) < "2015-01-01" <= min(test.date)
    assert not set(train.group) & set(test.group)
    assert not set(split.of_split("train").group) & set(split.of_split("validation").group)
    assert len(train) == ((table.date != "") & (table.date < "2015-01-01")).sum()


def dated(dates):
    return replace(make_table(len(dates)), date=np.array(dates), group=np.array([f"g{i}" for i in range(len(dates))]))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("31.12.2019", "05.01.2020"),
        ("12/31/2019", "1/1/2020"),
        ("20191231", "20200101"),
        ("31 Dec 2019", "2 Feb 2020"),
        ("2019", "2020"),
        ("2019-12", "2020-01"),
        ("9.8.2019", "2021-01-01"),
    ],
)
def test_dates_are_compared_as_dates(before, after):
    table = dated(["2010-01-01", before, after, "2030-01-01"] + ["2012-01-01"] * 20)
    split = temporal_split(table, "2020-01-01")
    assert set(split.of_split("test").item_id) == {"i2", "i3"}
    assert "i1" in split.of_split("train", "validation").item_id


@pytest.mark.parametrize("vague", ["2015", "2015-06", "Jun 2015"])
def test_a_date_that_holds_the_cut_is_on_neither_side(vague):
    table = dated(["2010-01-01"] * 20 + [vague, "2015-06-02", "2015-07-01"])
    split = temporal_split(table, "2015-06-15")
    assert "i20" not in split.item_id
    assert split.of_split("test").item_id.tolist() == ["i22"]
    assert "i21" in split.of_split("train", "validation").item_id


def test_a_year_is_before_the_next_and_not_before_its_own_first_day():
    table = dated(["2014"] * 20 + ["2015", "2016"])
    assert temporal_split(table, "2015-01-01").of_split("test").item_id.tolist() == ["i20", "i21"]


@pytest.mark.parametrize("date", ["some time ago", "31.02.2019", "3/2/19"])
def test_a_date_that_cannot_be_read_is_named(date):
    with pytest.raises(InputError, match="item 'i1' has no date to split by"):
        temporal_split(dated(["2010-01-01", date, "2030-01-01"]), "2020-01-01")


def test_cross_dataset_split_shares_no_group_and_no_text():
    source, target = make_table(200), make_table(60, seed=1)
    texts = np.char.add("other ", target.text_key)
    texts[30] = source.text_key[100]
    target = replace(target, text_key=texts, label_names=("label 3", "new", "label 0", "newer"))
    split = cross_dataset_split(source, target)
    train, test = split.of_split("train", "validation"), split.of_split("test")
    assert len(test) == 60
    assert not set(train.group) & set(test.group)
    assert not set(train.text_key) & set(test.text_key)
    # The names of both archives are equal, and mean nothing but for the shared text.
    assert set(np.char.add("source/", source.group)) - set(train.group) == {f"source/{source.group[100]}"}
    assert split.label_names == ("label 0", "label 1", "label 2", "label 3", "new", "newer")
    np.testing.assert_array_equal(test.labels[:, [3, 4, 0, 5]], target.labels)
    np.testing.assert_array_equal(train.labels[:, :4], source.labels[np.isin(source.item_id, train.item_id)])


def test_two_exports_of_one_archive_share_their_names():
    source, target = make_table(200), make_table(60, seed=1)
    target = replace(target, text_key=np.char.add("other ", target.text_key))
    split = cross_dataset_split(source, target, archives=("a", "a"))
    assert set(np.char.add("a/", source.group)) - set(split.of_split("train", "validation").group) == set(
        np.char.add("a/", target.group)
    )


@pytest.mark.parametrize("names", ["study", "group"])
def test_equal_names_of_two_archives_are_not_the_same(names):
    """Every name of the target also names something in the source, and no query loses an item of the other archive."""
    source, target = make_table(180), make_table(60, seed=1)
    assert np.isin(getattr(target, names), getattr(source, names)).all()
    target = replace(target, text_key=np.char.add("other ", target.text_key))
    split = cross_dataset_split(source, target)
    assert len(split) == 240
    assert not np.isin(getattr(split.of_split("test"), names), getattr(split.of_split("train"), names)).any()
    random = np.random.default_rng(0)
    codes = {name: random.integers(0, 256, (240, 2), np.uint8) for name in ("image", "report")}
    scores = evaluate(codes, split, 16, resamples=2)
    assert scores.score("mAP@all", "image→report", "seen").items == (split.split == "train").sum()
    assert scores.score("mAP@all", "image→report", "all").items == 239


def test_more_than_two_tables_are_qualified_each():
    tables = [make_table(30), make_table(30, seed=1), make_table(30, seed=2)]
    joined = join_tables(tables)
    assert len(set(joined.group)) == 30
    assert [name.partition("/")[0] for name in joined.study[::30]] == ["1", "2", "3"]


def test_impossible_splits_are_refused(table):
    with pytest.raises(InputError, match="nothing to test"):
        temporal_split(table, "2099-01-01")
    with pytest.raises(InputError, match="nothing to train"):
        cross_dataset_split(table, table)
    with pytest.raises(InputError, match="widths"):
        join_tables([table, replace(table, image=table.image[:, :5])])


def test_group_percentile_is_a_fixed_function_of_the_name():
    assert group_percentile(np.array(["a", "b", "a"])).tolist() == [
        int("86f7e437faa5a7fce15d1ddcb9eaeaea377667b8", 16) % 100,
        int("e9d71f5ee7c92d6dc9e92ffdad17b8bd49418f98", 16) % 100,
        int("86f7e437faa5a7fce15d1ddcb9eaeaea377667b8", 16) % 100,
    ]


@pytest.mark.parametrize(
    ("archives", "names"),
    [(("a", "a/b"), ("b/c", "c")), (("a%2Fb", "a/b"), ("c", "c")), (("a/b/c", "a"), ("d", "b/c/d"))],
)
def test_a_slash_makes_no_two_names_equal(archives, names):
    first, second = qualified([np.array([name]) for name in names], archives)
    assert first != second
