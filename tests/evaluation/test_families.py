"""Label families against their definitions written out as loops over queries and items."""

from dataclasses import replace

import numpy as np
import pytest
from evaluation.conftest import make_table

from mcmfh.errors import InputError
from mcmfh.evaluation import evaluate
from mcmfh.evaluation.families import label_families
from mcmfh.evaluation.family_table import family_rows
from mcmfh.evaluation.within import labels_of_both

NAMES = ("finding:a", "finding:b", "finding:c", "region:x", "region:y", "loose")


def family_archive(seed=0, n=150):
    """Findings that some items lack, a region for each item, a label without a family, and items without any label."""
    random = np.random.default_rng(seed)
    table = make_table(n, seed=seed)
    labels = np.concatenate(
        [random.random((n, 3)) < 0.25, np.eye(2, dtype=bool)[random.integers(0, 2, n)], random.random((n, 1)) < 0.1], 1
    )
    labels[random.random(n) < 0.15] = False
    study = np.array([f"s{i // 2}" for i in range(n)])
    patient = np.arange(n) // 6
    split = np.array(["train", "train", "train", "validation", "test", "test"])[patient % 6]
    group = np.array([f"g{i}" for i in patient])
    return replace(table, labels=labels, label_names=NAMES, study=study, group=group, split=split)


def codes_of(table, seed=0):
    random = np.random.default_rng(seed)
    shared = random.standard_normal((table.labels.shape[1], 8))
    return {
        name: np.packbits(table.labels @ shared + random.standard_normal((len(table), 8)) > 0, 1)
        for name in ("image", "report")
    }


def sampled_ap(distance, relevant, random, draws=600):
    """Mean AP over random orders of the ties, each computed by its definition."""
    scores = []
    for _ in range(draws):
        hits = relevant[np.lexsort((random.random(len(distance)), distance))].astype(float)
        scores.append((np.cumsum(hits) / np.arange(1, len(hits) + 1) * hits).sum() / hits.sum())
    return np.mean(scores)


def test_family_scores_are_those_of_random_tie_orders():
    table = family_archive()
    codes = codes_of(table)
    fine, coarse = table.labels[:, :3], table.labels[:, 3:5]
    found = evaluate(codes, table, 8, resamples=5)
    random = np.random.default_rng(1)
    alone, inside, chances, ranked = [], [], [], 0
    labelled = table.labels.any(1)
    for query in np.flatnonzero((table.split == "test") & labelled):
        others = (table.split == "test") & labelled & (table.study != table.study[query])
        distance = np.bitwise_count(codes["image"][query] ^ codes["report"][others]).sum(1)
        relevant = (fine[others] & fine[query]).any(1)
        if fine[query].any():
            alone.append(sampled_ap(distance, relevant, random))
        near = (coarse[others] & coarse[query]).any(1)
        if 0 < relevant[near].sum() < near.sum():
            inside.append(sampled_ap(distance[near], relevant[near], random))
            chances.append(relevant[near].mean())
            ranked += near.sum()
    score = found.score("mAP@all finding", "image→report", "unseen")
    assert score.value == pytest.approx(np.mean(alone), abs=0.01)
    assert score.queries == len(alone)
    score = found.score("mAP@all finding within region", "image→report", "unseen")
    assert score.value == pytest.approx(np.mean(inside), abs=0.01)
    assert score.relevant_pairs == pytest.approx(np.mean(chances))
    assert (score.queries, score.items) == (len(inside), round(ranked / len(inside)))
    assert score.worst < score.value < score.best


def test_chance_of_a_family_is_what_random_vectors_reach():
    """Vectors without ties, drawn many times: mAP is the score of a random order, P@10 is chance."""
    table = family_archive(n=240)
    drawn = {"mAP@all finding within region": [], "P@10 finding within region": [], "P@10 region": []}
    for seed in range(40):
        random = np.random.default_rng(seed)
        vectors = {name: random.standard_normal((len(table), 6)) for name in ("image", "report")}
        found = evaluate(vectors, table, None, resamples=2, databases=("unseen",))
        for name, values in drawn.items():
            values.append(found.score(name, "image→report", "unseen"))
    for values in drawn.values():
        mean, error = np.mean([score.value for score in values]), np.std([score.value for score in values]) / 6
        assert values[0].chance == pytest.approx(mean, abs=4 * error)
    region = drawn["P@10 region"][0]
    assert region.chance == pytest.approx(region.relevant_pairs)


def test_codes_and_vectors_with_the_same_order_have_the_same_scores():
    table, random = family_archive(), np.random.default_rng(0)
    codes = {name: random.integers(0, 256, (len(table), 1), np.uint8) for name in ("image", "report")}
    signs = {name: np.unpackbits(rows, 1) * 2.0 - 1 for name, rows in codes.items()}
    by_code, by_cosine = (evaluate(each, table, bits, resamples=2) for each, bits in ((codes, 8), (signs, None)))
    compared = [score for score in by_cosine.scores if "finding" in score.measure or "nDCG" in score.measure]
    assert len(compared) > 40
    for score in compared:
        assert score.value == pytest.approx(by_code.score(*[score.measure, score.direction, score.database]).value)


def test_two_items_share_a_joint_label_where_they_share_both():
    table = family_archive()
    fine, coarse = table.labels[:, :3], table.labels[:, 3:5]
    both = labels_of_both(fine, coarse).astype(int)
    expected = (fine.astype(int) @ fine.T > 0) & (coarse.astype(int) @ coarse.T > 0)
    np.testing.assert_array_equal(both @ both.T > 0, expected)


def test_families_are_those_of_the_names_from_fine_to_coarse():
    table = family_archive()
    assert [family.name for family in label_families(NAMES, table.labels)] == ["finding", "region"]
    assert [family.name for family in label_families(NAMES, table.labels, ("region", "finding"))] == [
        "region",
        "finding",
    ]
    assert label_families(NAMES, table.labels, ()) == ()
    assert label_families(NAMES[:3], table.labels[:, :3]) == ()
    rare = table.labels & np.array([True, False, False, True, True, True])
    rare[:, 0] &= np.arange(len(rare)) % 30 == 0
    assert label_families(NAMES, rare) == ()
    assert label_families((), np.zeros((4, 0), bool)) == ()
    with pytest.raises(InputError, match=r"'organ'.*finding, region"):
        label_families(NAMES, table.labels, ("organ",))


def test_the_table_shows_coarse_and_fine_beside_chance():
    table = family_archive()
    found = [evaluate(codes_of(table, seed), table, 8, method="m", seed=seed, resamples=2) for seed in (0, 1)]
    head, row, chance = family_rows(found)
    for method, title in (("ddbh", "ddbh (supervised)"), ("closed form (supervised)", "closed form (supervised)")):
        assert family_rows([replace(each, method=method, supervised=True) for each in found])[1][0] == title
    assert head == ["method", "bits", "any label", "finding", "region", "finding within region", "nDCG@10"]
    assert row[:2] == ["m", "8"]
    inside = [each.mean("mAP@all finding within region", ("unseen",)) for each in found]
    assert row[5] == f"{np.mean(inside):.3f} ± {np.std(inside, ddof=1):.3f}"
    ways = [found[0].score("nDCG@10", way, "unseen").chance for way in ("image→report", "report→image")]
    assert chance[0] == "chance"
    assert chance[-1] == f"{np.mean(ways):.3f}"
    assert family_rows([evaluate(codes_of(table), table, 8, resamples=2, families=())]) == []
