"""Which pairs a training sees, and what it says of those it leaves out."""

from dataclasses import replace

import numpy as np
import pytest
from support.planted import small

from mcmfh.errors import InputError
from mcmfh.hashing.preparation import prepare


@pytest.mark.parametrize("labels", [(), ("topic:1", "topic:2")])
def test_supervised_training_has_no_unlabelled_negatives(table, labels):
    chosen = [name.startswith(labels or "") for name in table.label_names]
    partly = replace(table, labels=table.labels & (np.arange(len(table)) % 4 > 0)[:, None])
    prepared = prepare(partly, small("supervised", labels=labels))
    known = partly.labels[:, chosen].any(1)
    train = table.split == "train"
    assert len(prepared.rows) == (train & known).sum()
    assert prepared.unlabelled == (train & ~known).sum() > 0
    np.testing.assert_array_equal(prepared.image, table.image[train & known])


def test_unsupervised_training_sees_every_pair(table):
    prepared = prepare(replace(table, labels=table.labels & (np.arange(len(table)) % 4 > 0)[:, None]), small("default"))
    assert (len(prepared.rows), prepared.unlabelled) == ((table.split == "train").sum(), 0)


def test_too_few_labelled_pairs_are_refused(table):
    few = table.labels & (np.arange(len(table)) < 20)[:, None]
    with pytest.raises(InputError, match="12 train items have image, report and labels"):
        prepare(replace(table, labels=few), small("supervised"))
