"""Queries that training has met in another guise are counted, and every score is given without them too."""

from dataclasses import replace

import numpy as np
import pytest

from mcmfh.evaluation import evaluate
from mcmfh.evaluation.leaks import APART, leak_sentence, met_in_train
from mcmfh.evaluation.split import Members, Twins, make_split
from mcmfh.evaluation.tables import headline_rows


def codes_of(table, bits=16, seed=0):
    random = np.random.default_rng(seed)
    shared = random.standard_normal((table.labels.shape[1], bits))
    return {
        name: np.packbits(table.labels @ shared + random.standard_normal((len(table), bits)) > 0, 1, bitorder="little")
        for name in ("image", "report")
    }


def with_shared_texts(table, of_train=2):
    """The manifest's own split, by item: every second test item has the very text of a training item."""
    key = table.text_key.copy()
    test, train = np.flatnonzero(table.split == "test"), np.flatnonzero(table.split == "train")
    key[test[::2]] = key[train[: of_train * len(test[::2])][::of_train]]
    return replace(table, text_key=key)


@pytest.fixture(scope="module")
def one_at_a_time(new_table):
    """A table half of whose test items have a training item's text, its scores, and those of each other query alone."""
    leaky = with_shared_texts(new_table())
    alone = [
        # The others stay in the database as test items, without being asked.
        evaluate(codes_of(leaky), replace(leaky, has_report=np.arange(len(leaky)) == query), 16, resamples=5)
        for query in np.flatnonzero(~met_in_train(leaky) & (leaky.split == "test"))
    ]
    return leaky, evaluate(codes_of(leaky), leaky, 16, resamples=5), alone


@pytest.mark.parametrize("measure", ["mAP@all", "P@10", "lookup ≤ 2"])
@pytest.mark.parametrize("database", ["seen", "unseen", "all"])
def test_a_score_apart_is_the_score_of_a_query_set_without_them(one_at_a_time, measure, database):
    leaky, found, alone = one_at_a_time
    met = met_in_train(leaky)
    assert met.sum() == (leaky.split == "test").sum() // 2
    apart = found.score(measure + APART, "report→image", database)
    assert apart.queries == (~met & (leaky.split == "test")).sum()
    scores = [each.score(measure, "report→image", database) for each in alone]
    assert apart.value == pytest.approx(np.mean([score.value for score in scores]))
    assert apart.chance == pytest.approx(np.mean([score.chance for score in scores]), abs=2e-3)
    assert found.score(measure, "report→image", database).queries > apart.queries


def test_the_headline_has_a_second_row_without_them(table):
    leaky = with_shared_texts(table)
    found = evaluate(codes_of(leaky), leaky, 16, method="random", resamples=5)
    (_, plain, apart) = headline_rows([found])
    assert plain[0] == "random"
    assert apart[0] == "random, apart from train"
    assert apart[1].startswith(f"{found.mean('mAP@all' + APART):.3f}")
    assert len(headline_rows([evaluate(codes_of(table), clean(table), 16, resamples=5)])) == 2


def clean(table):
    return replace(table, text_key=table.item_id)


def test_recall_is_given_without_them_too(table):
    leaky = with_shared_texts(table)
    found = evaluate(codes_of(leaky), leaky, 16, resamples=5)
    assert (
        found.score("R@10" + APART, "image→report", "own split").queries
        == (~met_in_train(leaky) & (leaky.split == "test")).sum()
    )


def test_pages_count_them(table):
    asked = int((table.split == "test").sum())
    assert leak_sentence(clean(table)) == f"0 of {asked} test items have their text or twin in train"
    half = leak_sentence(with_shared_texts(table))
    assert half.startswith(f"{asked // 2} of {asked} test items have their text or twin in train; ")
    assert half.endswith('scores "apart from train" are without them')
    every = replace(table, text_key=np.full(len(table), "one text"))
    assert leak_sentence(every).endswith("; no score is without them")
    found = evaluate(codes_of(every), every, 16, resamples=5)
    assert not [score for score in found.scores if score.measure.endswith(APART)]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_twin_of_a_training_item_counts_as_met(table, order):
    test, train = np.flatnonzero(table.split == "test")[3], np.flatnonzero(table.split == "train")[5]
    other = np.flatnonzero(table.split == "validation")[0]  # training does not learn from validation
    pairs = np.array([np.array([test, train])[list(order)], [np.flatnonzero(table.split == "test")[0], other]])
    plain = clean(table)
    split = make_split(Members.of_table(plain, "a"), twins=Twins(pairs, "drawn"))
    assert split.protocol == "the manifest's split"
    on_split = split.apply([plain])
    assert np.flatnonzero(met_in_train(on_split)).tolist() == [test]
    assert "1 of" in leak_sentence(on_split)


def test_a_split_of_ours_leaves_none(table):
    """Without a split of the manifest, texts and twins are merged before anyone gets a side."""
    bare = replace(with_shared_texts(table), split=np.full(len(table), ""))
    twins = Twins(np.random.default_rng(1).integers(0, len(table), (10, 2)), "drawn")
    on_split = make_split(Members.of_table(bare, "a"), twins=twins).apply([bare])
    assert not met_in_train(on_split).any()
