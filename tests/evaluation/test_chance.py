"""The chance beside a score is what codes without knowledge get in that very measure, and no perfect code gets less."""

from dataclasses import replace

import numpy as np
import pytest

from mcmfh.evaluation import evaluate
from mcmfh.evaluation.pair_recall import pair_ranks, pair_recall, random_recall
from mcmfh.evaluation.tables import headline_rows
from mcmfh.hashing.validation import validation_scores


def random_codes(items, bits, seed):
    random = np.random.default_rng(seed)
    return {name: random.integers(0, 256, (items, bits // 8), dtype=np.uint8) for name in ("image", "report")}


def mean_and_error(values):
    return np.mean(values), np.std(values, ddof=1) / len(values) ** 0.5


def variants(table):
    """Half the texts equal; studies of three items and labels on half of them; few database items."""
    n = len(table)
    half_equal = replace(table, text_key=np.where(np.arange(n) % 2, "same", table.text_key))
    studies = replace(table, study=table.group, labels=table.labels & (np.arange(n) % 2 == 0)[:, None])
    return {"equal texts": half_equal, "studies": studies, "small": table.select(np.arange(36))}


@pytest.mark.parametrize("bits", [8, 64])
@pytest.mark.parametrize("variant", ["equal texts", "studies", "small"])
def test_random_codes_score_the_chance_of_every_measure(table, variant, bits):
    varied = variants(table)[variant]
    differences: dict[tuple[str, ...], list[float]] = {}
    for seed in range(100):
        for score in evaluate(random_codes(len(varied), bits, seed), varied, bits, resamples=2, permutations=0).scores:
            differences.setdefault(score.key, []).append(score.value - score.chance)
    assert {measure for *_, measure in differences} >= {"lookup ≤ 2", "R@1", "P@50", "mAP@50 UCMFH", "mAP@5000 DCMHT"}
    for key, values in differences.items():
        mean, error = mean_and_error(values)
        assert abs(mean) <= 3.5 * error + 1e-9, key


@pytest.mark.parametrize(("bits", "near"), [(8, 2), (64, 2), (64, 0)])
def test_a_lookup_in_random_order_scores_its_chance(table, bits, near):
    """The balls of these codes stay as they are, empty ones too; only who lies in them is drawn."""
    random = np.random.default_rng(bits + near)
    codes = random_codes(len(table), bits, 0)
    codes["report"][: len(table) // 3] = codes["image"][0] ^ np.uint8(near)
    test = table.split == "test"
    score = evaluate(codes, table, bits, resamples=2).score("lookup ≤ 2", "image→report", "unseen")
    values = []
    labels, distance = (
        table.labels[test],
        np.bitwise_count(codes["image"][test][:, None] ^ codes["report"][test]).sum(2),
    )
    relevant = labels.astype(int) @ labels.T.astype(int) > 0
    for _ in range(400):
        drawn = []
        for i in range(len(labels)):
            others = np.delete(np.arange(len(labels)), i)
            ball = distance[i, others] <= 2
            drawn.append(random.permutation(relevant[i, others])[ball].mean() if ball.any() else 0.0)
        values.append(np.mean(drawn))
    mean, error = mean_and_error(values)
    assert abs(score.chance - mean) <= 3 * error + 1e-9


@pytest.mark.parametrize("bits", [16, 64])
@pytest.mark.parametrize("variant", ["equal texts", "studies", "small"])
def test_no_perfect_code_looks_worse_than_chance(table, variant, bits):
    varied = variants(table)[variant]
    # One label an item, and a code of its own for each label: every relevant item is nearer than every other one.
    first = np.eye(varied.labels.shape[1], dtype=bool)[varied.labels.argmax(1)] & varied.labels.any(1, keepdims=True)
    single = replace(varied, labels=first)
    themes = np.random.default_rng(0).integers(0, 256, (first.shape[1] + 1, bits // 8), dtype=np.uint8)
    of_item = themes[np.where(first.any(1), first.argmax(1), -1)]
    for score in evaluate({"image": of_item, "report": of_item}, single, bits, resamples=2, permutations=0).scores:
        if not score.measure.startswith("R@"):
            # Where a measure reads every item, all three are one sum in other orders: equal but for rounding.
            assert score.best + 1e-12 >= score.value >= score.chance - 1e-12, score.key
    own = np.unique(varied.text_key, return_inverse=True)[1].astype(np.uint16).view(np.uint8).reshape(-1, 2)
    for score in evaluate(
        {"image": own, "report": own}, replace(single, study=varied.item_id), 16, resamples=2, permutations=0
    ).scores:
        if score.measure.startswith("R@"):
            assert score.value >= score.chance, score.key


@pytest.mark.parametrize("bits", [8, 16, 64])
@pytest.mark.parametrize("equal", [0.0, 0.5, 0.9])
def test_random_codes_score_the_chance_of_the_model_card(table, equal, bits):
    n = len(table)
    text = np.where(np.random.default_rng(1).permutation(n) < equal * n, "same", table.text_key)
    shared = replace(table, text_key=text, study=table.item_id)
    differences: dict[str, list[float]] = {}
    for seed in range(100):
        scores = validation_scores(random_codes(n, bits, seed), shared)
        for measure, chance in scores["chance"].items():
            both = np.mean([scores[way][measure] for way in ("image_to_report", "report_to_image")])
            differences.setdefault(measure, []).append(both - chance)
    for measure, values in differences.items():
        mean, error = mean_and_error(values)
        # The card has the greater chance of both directions, so that its own noise is no less than 0.
        assert abs(mean) <= 3 * error + 0.004, measure


def test_equal_codes_of_equal_texts_count_once():
    """A text of 60 items is found once in 61 times when they have one code, and often when each has its own."""
    group = np.r_[np.zeros(60, int), np.arange(1, 61)]
    own = np.arange(120, dtype=np.uint16).view(np.uint8).reshape(-1, 2)
    shared = own.copy()
    shared[:60] = own[0]
    assert random_recall(shared, group, 1, bits=16).mean() == pytest.approx(1 / 61, abs=0.003)
    assert random_recall(own, group, 1, bits=16).mean() == pytest.approx(0.234, abs=0.01)


@pytest.mark.parametrize(("bits", "at"), [(8, 1), (8, 10), (16, 5), (128, 1)])
def test_random_recall_is_that_of_drawn_codes(bits, at):
    random = np.random.default_rng(bits + at)
    group = np.repeat(np.arange(20), random.integers(1, 12, 20))
    values, chance = [], []
    for _ in range(300):
        query, database = random.integers(0, 256, (2, len(group), bits // 8), dtype=np.uint8)
        values.append(pair_recall(pair_ranks(query, database, group, group), at).mean())
        if len(chance) < 20:
            chance.append(random_recall(database, group, at, bits=bits).mean())
    mean, error = mean_and_error(values)
    assert abs(np.mean(chance) - mean) <= 3 * error


def test_the_headline_has_the_chance_of_its_own_two_databases(table):
    """Items of the third database, all, must not enter: its chance differs where the splits do."""
    skewed = replace(table, labels=table.labels & ((table.split != "validation")[:, None] | (np.arange(4) == 0)))
    evaluation = evaluate(random_codes(len(table), 16, 0), skewed, 16, "random", resamples=2)
    of = [
        evaluation.score("mAP@all", direction, database).chance
        for direction in ("image→report", "report→image")
        for database in ("seen", "unseen")
    ]
    assert evaluation.chance() == pytest.approx(np.mean(of))
    head, row = headline_rows([evaluation])
    assert row[head.index("chance")] == f"{np.mean(of):.3f} ({np.mean(of[1::2]):.3f})"
