"""What jobs/measure.py pairs says of codes alone is what an evaluation says; of vectors, what vectors alone give."""

from dataclasses import replace

import numpy as np
import pytest
from support.planted import planted_table, small

from mcmfh.benchmarks.accuracy.pairs import measure_pairs
from mcmfh.benchmarks.accuracy.training import trained_coder
from mcmfh.evaluation import evaluate
from mcmfh.evaluation.pair_recall import pair_ranks, pair_recall
from mcmfh.evaluation.pairs import answer_groups
from mcmfh.evaluation.ranking import cosine
from mcmfh.hashing.baselines.cca import canonical_space
from mcmfh.hashing.codes import pack_codes


def test_it_says_what_evaluations_say():
    table, settings = planted_table(), small("default", bits=(16, 32))
    lines: list[str] = []
    measure_pairs(table, settings, 2, "test", lines.append)
    said = {name: float(value.split()[0]) for name, _, value in (line.partition(": ") for line in lines[:-1])}
    for bits in (16, 32):
        found = []
        for seed in range(2):
            coder = trained_coder(table, settings.model_copy(update={"seed": seed}))
            codes = {name: pack_codes(of[bits]) for name, of in coder.all_logits(table.image, table.report).items()}
            scored = evaluate(codes, table, bits, resamples=2, permutations=0)
            found.append(scored.mean("R@10", ("own split",)))
        assert said[f"{bits} bits"] == pytest.approx(np.mean(found), abs=1e-3)
    # All test pairs are in a shortlist of 200: re-ranked, it is the order of the vectors.
    rows = table.split == "test"
    assert rows.sum() < 200
    image, report = (side[rows] for side in canonical_space(table.of_split("train"), 256)(table))
    group = answer_groups(table.select(rows))
    alone = [pair_recall(pair_ranks(*way, group, group), 10).mean() for way in ((image, report), (report, image))]
    assert said["the encoder's vectors alone"] == pytest.approx(np.mean(alone), abs=1e-3)
    assert said["16 bits, re-ranked by the encoder's vectors"] == pytest.approx(np.mean(alone), abs=1e-3)
    assert lines[-1].startswith(f"R@10 among {rows.sum()} pairs of split test, 2 seeds; chance 0.")


def test_vectors_of_an_encoder_beside_it_count_alike():
    table, lines = planted_table(), list[str]()
    other = replace(table, image=table.image[:, ::-1] ** 3, report=table.report**3)
    fewer = np.random.default_rng(0).permutation(len(table))[5:]
    measure_pairs(table, small("default", bits=16), 1, "test", lines.append, other.select(fewer))
    both = [each.select(np.sort(fewer)) for each in (table, other)]
    rows = both[0].split == "test"
    group = answer_groups(both[0].select(rows))
    cosines = []
    for each in both:
        image, report = (side[rows] for side in canonical_space(each.of_split("train"), 256)(each))
        cosines.append(cosine(image, report))
    image_to_report = sum(cosines)
    ranks = [
        [(row > row[group == group[q]].max()).sum() for q, row in enumerate(scores)]
        for scores in (image_to_report, image_to_report.T)
    ]
    alone = np.mean(np.array(ranks) < 10)
    said = {name: float(value.split()[0]) for name, _, value in (line.partition(": ") for line in lines[:-1])}
    assert said["the encoder's vectors alone"] == pytest.approx(alone, abs=1e-3)
    assert said["16 bits, re-ranked by the encoder's vectors"] == pytest.approx(alone, abs=1e-3)
