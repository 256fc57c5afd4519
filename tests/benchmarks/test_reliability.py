"""Stated precision is observed on studies that calibration never saw, whatever part of them is labelled."""

import numpy as np
import pytest
from support.planted import planted_table, small

from mcmfh.benchmarks.accuracy import reliability as measured
from mcmfh.benchmarks.accuracy.training import trained_coder
from mcmfh.hamming import hamming_distances
from mcmfh.hashing.calibration import MOST_ERROR, relevance_error
from mcmfh.hashing.codes import pack_codes

BITS = (16, 64, 512)


@pytest.fixture(scope="module", params=[1, 8])
def archive(request):
    """An archive whose codes tell topics apart badly, of 1 or 8 pictures a study, and its codes by length."""
    table = planted_table(4000, noise=8.0, pictures=request.param)
    logits = trained_coder(table, small("default", bits=BITS)).all_logits(table.image, table.report)
    return table, {bits: {name: pack_codes(of[bits]) for name, of in logits.items()} for bits in BITS}


@pytest.mark.parametrize("share", measured.SHARES)
@pytest.mark.parametrize("bits", BITS)
def test_stated_precision_is_observed(archive, bits, share):
    table, codes = archive
    found = measured.reliability(codes[bits], table, share)
    assert np.mean([found.error(name) for name in found.pairs]) <= 0.03, measured.line(found)


@pytest.mark.parametrize("bits", BITS)
def test_the_expected_error_falls_with_the_labelled(archive, bits):
    table, codes = archive
    rows = np.flatnonzero(table.split == "validation")
    distance = hamming_distances(codes[bits]["image"][rows][:, None], codes[bits]["report"][rows])
    errors = []
    for share in (0.05, 0.2, 1.0):
        known = np.random.default_rng(1).random(len(rows)) < share
        errors.append(relevance_error(distance, table.labels[rows] & known[:, None], table.study[rows]))
    assert errors[0] > errors[1] > errors[2]


def test_few_labels_suffice_where_the_codes_tell_topics_apart_and_not_where_they_hardly_do():
    for noise, meaning in ((0.5, "relevant"), (8.0, "same study")):
        table = planted_table(1000, noise=noise)
        logits = trained_coder(table, small("default", bits=(16,))).all_logits(table.image, table.report)
        codes = {name: pack_codes(of[16]) for name, of in logits.items()}
        found = measured.reliability(codes, table, 0.1)
        assert found.meaning == meaning
        if meaning == "relevant":
            assert np.mean([found.error(name) for name in found.pairs]) <= MOST_ERROR


def test_the_plot_has_a_point_for_each_distance(archive):
    table, codes = archive
    svg = measured.plot([measured.reliability(codes[16], table)])
    assert svg.startswith("<svg")
    assert "stated precision" in svg
