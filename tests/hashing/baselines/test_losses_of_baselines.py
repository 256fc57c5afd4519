"""The baselines' losses against their definitions, written out as loops."""

import numpy as np
import pytest
import torch

from mcmfh.hashing.baselines.contrastive import info_nce
from mcmfh.hashing.baselines.ddbh import PublicBoundaryLoss, boundary_loss, class_quantisation, pair_loss
from mcmfh.hashing.baselines.dscph import MARGIN, AdaptiveTriplets, centre_penalty, public_penalty, triplets
from mcmfh.hashing.baselines.linear_heads import warmup_cosine
from mcmfh.hashing.baselines.ucmfh import TEMPERATURE, Network, nt_xent, released_loss

LABELS = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1.0]])
CODES = torch.randn(5, 8, generator=torch.Generator().manual_seed(0)).tanh()


def cosine(a, b):
    return float(a @ b / (a.norm() * b.norm()))


def test_nt_xent_is_the_sum_over_all_views():
    other = CODES.flip(0) * 0.5 + 0.1
    views = [*CODES, *other]
    total = 0.0
    for i, view in enumerate(views):
        scores = [np.exp(cosine(view, rest) / TEMPERATURE) for j, rest in enumerate(views) if j != i]
        total -= np.log(np.exp(cosine(view, views[(i + 5) % 10]) / TEMPERATURE) / sum(scores)) / 10
    assert float(nt_xent(CODES, other)) == pytest.approx(total, abs=1e-5)


def test_info_nce_of_perfect_pairs_is_nearly_zero_and_of_equal_rows_is_log_b():
    assert float(info_nce(torch.eye(5), torch.eye(5), 50.0)) < 1e-3
    assert float(info_nce(torch.ones(5, 1), torch.ones(5, 1), 3.0)) == pytest.approx(np.log(5))


def test_pair_loss_is_logistic_with_twice_the_slope_on_the_wrong_side():
    for similar in (0.0, 1.0):
        inner = torch.linspace(-4, 4, 81, requires_grad=True)
        (slope,) = torch.autograd.grad(pair_loss(inner, torch.full((81,), similar)) * 81, inner)
        expected = torch.sigmoid(inner) - similar
        wrong = (inner > 1e-6) if similar == 0 else (inner < -1e-6)
        right = (inner < -1e-6) if similar == 0 else (inner > 1e-6)
        torch.testing.assert_close(slope[wrong], 2 * expected[wrong])
        torch.testing.assert_close(slope[right], expected[right])


def test_class_quantisation_is_the_mean_over_memberships():
    values = []
    for item in range(5):
        for c in range(3):
            if LABELS[item, c]:
                centre = torch.sign(sum(CODES[j] for j in range(5) if LABELS[j, c]))
                values.append(float(((CODES[item] - centre) ** 2).mean()))
    assert float(class_quantisation(CODES, LABELS)) == pytest.approx(np.mean(values), abs=1e-6)


def test_centre_penalty_is_the_dice_like_ratio():
    centres = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    values = []
    for code, labels in zip(CODES, LABELS):
        near = [max(0.0, cosine(code, centre)) for centre in centres]
        hit = sum(n for n, y in zip(near, labels) if y)
        missed = sum(1 - n for n, y in zip(near, labels) if y)
        false = sum(n for n, y in zip(near, labels) if not y)
        values.append(1 - hit / (hit + missed + false))
    assert float(centre_penalty(CODES, centres, LABELS)) == pytest.approx(np.mean(values), abs=1e-6)
    assert float(centre_penalty(torch.eye(3), torch.eye(3), torch.eye(3))) == pytest.approx(0, abs=1e-6)


def test_triplets_are_all_of_the_batch():
    values = []
    for a in range(5):
        for p in range(5):
            for n in range(5):
                common = float(LABELS[a] @ LABELS[p])
                if a != p and common and not LABELS[a] @ LABELS[n]:
                    margin = MARGIN * common / float((LABELS[a] + LABELS[p]).clamp(max=1).sum())
                    values.append(max(0.0, margin + cosine(CODES[a], CODES[n]) - cosine(CODES[a], CODES[p])))
    assert float(triplets(CODES, LABELS)) == pytest.approx(np.mean(values), abs=1e-6)
    assert float(triplets(CODES[:2], torch.ones(2, 1))) == 0


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_public_boundaries_of_ddbh_as_loops(seed):
    """Softplus of c·(x − boundary), c = ln 99 / (K/6), doubled on the wrong side; item by item."""
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(25, 4, generator=generator) < 0.4).float()
    labels[0] = 0  # similar to nothing: the row has no similar pair
    left, right = (torch.randn(25, 12, generator=generator).tanh() for _ in range(2))
    inner, top, rows = (left @ right.T).numpy(), 12 / 4, []
    for i in range(25):
        same = [float(inner[i, j]) for j in range(25) if labels[i] @ labels[j] > 0]
        other = [float(inner[i, j]) for j in range(25) if labels[i] @ labels[j] == 0]
        if not same or not other:
            continue
        near, far = (min(max(np.mean(x), 0.0), top) for x in (same, other))
        greatest = np.mean(sorted(other)[int(len(other) * 0.9) :])
        least = np.mean(sorted(same, reverse=True)[int(len(same) * 0.9) :])
        of_same = near - (top - near) / top * abs(near - greatest)
        of_other = far - far / top * abs(far - least)
        c = np.log(99) / (12 / 6)
        losses = [
            np.mean([np.log1p(np.exp(-(c if m > 0 else 2 * c) * m)) for m in margins])
            for margins in ([x - of_same for x in same], [of_other - x for x in other])
        ]
        rows.append(sum(losses))
    assert float(boundary_loss(left, right, labels @ labels.T > 0)) == pytest.approx(np.mean(rows), rel=1e-5)


def test_ddbh_pulls_codes_of_similar_items_to_their_signs():
    signs = torch.where(CODES > 0, 1.0, -1.0)
    loss = PublicBoundaryLoss()
    similar = (LABELS @ LABELS.T > 0).float()
    boundary = sum(boundary_loss(a, b, similar > 0) for a, b in ((CODES, CODES), (CODES, CODES), (CODES, CODES)))
    distance = 0.0
    for i in range(5):
        for j in range(5):
            distance += float(similar[i, j] * ((CODES[j] - signs[j]) ** 2).sum()) / CODES.numel()
    assert float(loss(CODES, CODES, LABELS)) == pytest.approx(float(boundary) + 0.1 * 2 * distance, rel=1e-5)


def test_the_public_penalty_of_dscph_as_loops():
    centres = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    hit, missed, false = 2.0, 0.0, 0.0
    for code, labels in zip(CODES, LABELS):
        for centre, y in zip(centres, labels):
            near = cosine(code, centre)
            if y:
                hit += 2 * max(0.0, near)
                missed += (1 - near) * np.exp(1.3 * (1 - near))
            elif near > 0.3:
                false += (near - 0.3) * np.exp(1.3 * (near - 1))
    assert float(public_penalty(CODES, centres, LABELS)) == pytest.approx(1 - hit / (hit + missed + false), rel=1e-5)


def test_adaptive_triplets_as_loops_over_two_epochs():
    ours = AdaptiveTriplets()
    margin, bound = 0.25, 0.0
    for codes in (CODES, CODES.flip(0) + 0.2):
        gaps, negatives = [], []
        for a in range(5):
            others = [cosine(codes[a], codes[n]) for n in range(5) if LABELS[a] @ LABELS[n] == 0]
            negatives += [cosine(codes[a], codes[n]) for n in range(a) if LABELS[a] @ LABELS[n] == 0]
            for p in range(5):
                if p != a and LABELS[a] @ LABELS[p] > 0:
                    gaps += [cosine(codes[a], codes[p]) - other for other in others]
        hard = [margin - gap for gap in gaps if 0 < gap < margin]
        near = [x - bound for x in negatives if x >= bound]
        ours.begin_epoch()
        expected = sum(np.mean(part) for part in (hard, near) if part)
        assert float(ours(codes, LABELS)) == pytest.approx(expected, abs=1e-6)
        assert (ours.margin, ours.bound) == pytest.approx((margin, bound))
        margin, bound = max(0.0, np.mean(gaps) / 2), 1 - (1 - np.mean(negatives)) / 2
    assert float(ours(CODES[:1], LABELS[:1])) == 0


@torch.inference_mode()
def test_ucmfh_trains_each_row_as_a_sequence_of_its_own_with_half_the_weight_on_codes():
    torch.manual_seed(0)
    network = Network(6, 5, 8, 16, unit_halves=True).eval()
    images, reports = torch.randn(7, 6), torch.randn(7, 5)
    rows = [network.fuse(images[i : i + 1], reports[i : i + 1], False) for i in range(7)]
    left, right = (torch.cat(side) for side in zip(*rows))
    codes = (
        network.image_hash(left / left.norm(dim=1, keepdim=True)),
        network.report_hash(right / right.norm(dim=1, keepdim=True)),
    )
    expected = float(nt_xent(left, right)) + 0.5 * float(nt_xent(*codes))
    assert float(released_loss(network, images, reports)) == pytest.approx(expected, abs=1e-5)


def test_the_rate_warms_up_for_a_tenth_and_falls_to_nothing():
    assert [warmup_cosine(x) for x in (0.0, 0.05, 0.5, 1.0)] == pytest.approx([0, 0.5, 0.5, 0])
