"""Pretraining learns: hidden patches better than their mean, the right report among others; runs go on as they were."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from support.drawn_pairs import make_pairs, make_vocabulary, small

from mcmfh.pretraining.feed import from_memory
from mcmfh.pretraining.fitting import fit, make_optimizer
from mcmfh.pretraining.metrics import embed_pairs, recall, reconstruction
from mcmfh.pretraining.picture import attention_picture, reconstruction_picture
from mcmfh.pretraining.trainee import Trainee


def pretrain(n: int = 96, **more) -> Trainee:
    settings = small(**more)
    trainee = Trainee(settings, make_vocabulary())
    fit(trainee, make_optimizer(trainee, settings), from_memory(make_pairs(n), settings), settings, n)
    return trainee.eval()


@pytest.fixture(scope="module")
def trained() -> Trainee:
    return pretrain(256, epochs=8, batch_size=32, learning_rate=1e-3)


def test_it_learns_on_pictures_it_never_saw(trained):
    held_out = make_pairs(60, seed=1)
    error = reconstruction(trained, held_out)
    assert error["patches"] < 0.8 * error["patch_mean"]
    assert error["tokens"] < 0.5 * np.log(len(make_vocabulary()))
    found = recall(trained.model, held_out)
    assert found["image_to_report"]["R@1"] > 3 * found["chance"]["R@1"]


def test_an_embedding_does_not_depend_on_company(trained):
    pairs = make_pairs(9, seed=2)
    together = embed_pairs(trained.model, pairs)
    for i in range(9):
        alone = embed_pairs(trained.model, pairs[i : i + 1])
        for a, b in zip(alone, together):
            np.testing.assert_allclose(a[0], b[i], atol=2e-6)


def test_pictures_of_what_was_learnt(trained):
    pairs = make_pairs(3, seed=2)
    for png in (reconstruction_picture(trained, pairs), attention_picture(trained.model, pairs, make_vocabulary())):
        assert min(Image.open(io.BytesIO(png)).size) > 300
    assert attention_picture(Trainee(small(aggregation="pool_first"), make_vocabulary()).model, pairs, None) is None


@pytest.mark.parametrize(
    "change",
    [
        {"stream": "dual"},
        {"stream": "dual", "reconstruction": False},
        {"reconstruction": False},
        {"aggregation": "pool_first"},
        {"image_mask": 0.0},
        {"report_mask": 0.0},
        {"amp": True},
    ],
    ids=str,
)
def test_every_variant_takes_steps(change):
    before = Trainee(small(**change), make_vocabulary())
    after = pretrain(32, epochs=1, **change)
    moved = [n for (n, p), q in zip(before.named_parameters(), after.parameters()) if not torch.equal(p, q)]
    still = {n for n, _ in before.named_parameters()} - set(moved)
    assert not {n for n in still if "position" not in n and "embeddings" not in n and "key.bias" not in n}


def test_accumulated_gradients_are_the_mean_of_their_batches(monkeypatch):
    from mcmfh.pretraining import fitting

    settings = small(clip=1e9)
    pairs = make_pairs(32)
    gradients = []
    for groups in ([[pairs[:16]], [pairs[16:]]], [[pairs[:16], pairs[16:]]]):
        trainee = Trainee(settings, make_vocabulary())
        generator = torch.Generator().manual_seed(0)
        frozen = torch.optim.SGD(trainee.parameters(), lr=0.0)
        found = []
        for group in groups:
            fitting.train_step(trainee, frozen, group, settings, generator)
            found.append(torch.cat([p.grad.flatten() for p in trainee.parameters()]))
        gradients.append(torch.stack(found).mean(0))
    assert torch.allclose(*gradients, atol=1e-6)
