"""A second look at a short list, against the same thing done with full sorts."""

from dataclasses import replace

import numpy as np
import pytest

from mcmfh.evaluation import evaluate
from mcmfh.evaluation.average_precision import average_precision
from mcmfh.evaluation.pair_recall import pair_ranks
from mcmfh.evaluation.ranking import rank_codes, rank_scores
from mcmfh.evaluation.reranking import (
    asymmetric,
    by_code,
    by_vector,
    evaluate_reranking,
    reranked,
    reranked_pair_ranks,
)

from .test_evaluate import codes_of


def test_a_list_of_everything_is_the_ranking_itself(table):
    codes = codes_of(table)
    arguments = codes["image"][:20], codes["report"], table.labels[:20], table.labels
    own = table.study[:20], table.study
    everything = reranked(*arguments, by_code(codes["image"], codes["report"]), len(table), own)
    plain = rank_codes(*arguments, 16, own=own)
    np.testing.assert_allclose(average_precision(everything), average_precision(plain))


def test_asymmetric_score_is_the_product_with_the_signs():
    random = np.random.default_rng(0)
    bits = random.random((30, 16)) < 0.5
    logits = random.standard_normal((5, 16))
    score = asymmetric(logits, np.packbits(bits, axis=1, bitorder="little"))
    rows = np.array([3, 29, 0])
    np.testing.assert_allclose(score(4, rows), [(logits[4] * np.where(bits[row], 1, -1)).sum() for row in rows])


@pytest.mark.parametrize("shortlist", [5, 30])
def test_only_the_short_list_is_reordered(table, shortlist):
    codes, vectors = codes_of(table), table.report[:, :20]
    got = reranked(
        codes["image"][:9],
        codes["report"],
        table.labels[:9],
        table.labels,
        by_vector(table.image[:9, :20], vectors),
        shortlist,
    )
    for query in range(9):
        distance = np.bitwise_count(codes["image"][query] ^ codes["report"]).sum(1)
        near = np.lexsort((np.arange(len(table)), distance))[:shortlist]
        unit = vectors[near] / np.linalg.norm(vectors[near], axis=1, keepdims=True)
        cosine = unit @ (table.image[query, :20] / np.linalg.norm(table.image[query, :20]))
        scores = np.full(len(table), -2.0)
        scores[near] = cosine
        whole = rank_scores(scores[None], (table.labels[query] & table.labels).any(1)[None])
        for at in (3, None):
            expected = average_precision(whole, at)[0]
            assert average_precision(got, at)[query] == pytest.approx(expected, abs=1e-9)


def test_every_second_look_is_measured_beside_the_codes_alone(table):
    logits = {name: vectors[:, :16] for name, vectors in (("image", table.image), ("report", table.report))}
    codes = {name: np.packbits(rows > 0, axis=1, bitorder="little") for name, rows in logits.items()}
    vectors = {"image": table.image[:, :20], "report": table.report}
    scores = evaluate_reranking(codes, table, 16, logits, codes_of(table, 64), vectors, shortlist=10, resamples=5)
    assert len(scores) == 2 * 2 * 4 * 2
    by_name = {score.measure: score for score in scores if score.key[1:3] == ("image→report", "unseen")}
    plain = evaluate(codes, table, 16, resamples=5).score("mAP@50", "image→report", "unseen")
    assert by_name["mAP@50, 16 bits alone"].value == pytest.approx(plain.value)
    assert set(by_name) >= {f"mAP@50, 16 bits, first 10 by {x}" for x in ("asymmetric", "64-bit codes")}
    assert all(score.worst <= score.value <= score.best for score in scores)


def test_items_without_labels_are_not_reranked(table):
    codes = codes_of(table)
    kept = np.arange(len(table)) % 4 > 0
    partly = replace(table, labels=table.labels & kept[:, None])
    found = evaluate_reranking(codes, partly, 16, longer=codes_of(table, 64), shortlist=10, resamples=5)
    codes, longer = ({name: rows[kept] for name, rows in each.items()} for each in (codes, codes_of(table, 64)))
    only = evaluate_reranking(codes, table.select(kept), 16, longer=longer, shortlist=10, resamples=5)
    assert [replace(score, unlabelled_queries=0, unlabelled_items=0) for score in found] == only
    assert all(score.unlabelled_items for score in found)


@pytest.mark.parametrize("side", ["train", "validation", "test"])
def test_labels_on_one_side_alone_leave_out_the_other_databases(table, side):
    partly = replace(table, labels=table.labels & (table.split == side)[:, None])
    found = evaluate_reranking(codes_of(table), partly, 16, longer=codes_of(table, 64), shortlist=10, resamples=5)
    assert {score.database for score in found} == ({"unseen"} if side == "test" else set())


def test_an_archive_of_reports_alone_has_nothing_to_rerank(table):
    alone = replace(table, has_image=np.zeros(len(table), bool))
    assert evaluate_reranking(codes_of(table), alone, 16, longer=codes_of(table, 64), resamples=5) == []


@pytest.mark.parametrize("shortlist", [4, 30, 1000])
def test_pairs_in_a_reordered_list_are_ranked_as_one_by_one(shortlist):
    rng = np.random.default_rng(0)
    asked, stored = rng.integers(0, 4, (2, 60, 2), np.uint8)
    group = rng.integers(0, 40, 60)
    ours, theirs = rng.integers(-2, 3, (2, 60, 3)).astype(float) + 0.5  # with ties
    closer, tied = reranked_pair_ranks(asked, stored, group, by_vector(ours, theirs), shortlist)
    for query in range(60):
        distance = np.bitwise_count(asked[query] ^ stored).sum(1)
        near = sorted(range(60), key=lambda item: (distance[item], item))[:shortlist]
        score = dict(zip(near, by_vector(ours, theirs)(query, np.array(near))))
        best = {g: max(score[item] for item in near if group[item] == g) for g in {group[item] for item in near}}
        if group[query] in best:
            own = best[group[query]]
            expected = sum(x > own for x in best.values()), sum(x == own for x in best.values())
        else:
            expected = 60, 1
        assert (closer[query], tied[query]) == expected


def test_pairs_in_a_list_of_everything_are_those_of_the_vectors_alone():
    rng = np.random.default_rng(1)
    ours, theirs = rng.standard_normal((2, 50, 6))
    codes = np.zeros((50, 2), np.uint8)
    group = np.arange(50) // 2
    found = reranked_pair_ranks(codes, codes, group, by_vector(ours, theirs), 50)
    np.testing.assert_array_equal(found, pair_ranks(ours, theirs, group, group))
