"""Settings: a recipe fills what is not given; what cannot work is refused by name."""

import pytest
from pydantic import ValidationError

from mcmfh.hashing.coder import Shape
from mcmfh.hashing.model import Mcmfh
from mcmfh.hashing.settings import TrainSettings, ablations


def test_what_is_given_wins_over_the_recipe():
    assert TrainSettings(recipe="paper").voting == "frozen"
    assert TrainSettings(recipe="paper", voting="off").voting == "off"
    assert TrainSettings(supervised=True, epochs=2).epochs == 2


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"bits": 12}, "multiples of 8"),
        ({"bits": (16, 16)}, "distinct"),
        ({"bits": 1024}, "512"),
        ({"batch_size": 100, "workers": 3}, "not a multiple of 3"),
        ({"batch_size": 100, "workers": 4, "min_workers": 2}, "not a multiple of 3"),
        ({"workers": 1, "min_workers": 2}, "min_workers"),
        ({"experts": 4}, "needs fusion"),
        ({"fusion": True, "gating_loss": 0.1}, "experts"),
        ({"epoch": 3}, "epoch"),
        ({"fusion": True, "experts": 2, "top_k": 3}, "top_k 3 is more than experts 2"),
        ({"recipe": "paper", "top_k": 5}, "top_k 5 is more than experts 4"),
        ({"logit_scale": 41}, "40"),
    ],
)
def test_what_cannot_work_is_refused(given, reason):
    with pytest.raises(ValidationError, match=reason):
        TrainSettings(**given)


def test_settings_survive_json():
    settings = TrainSettings(bits=(64, 16), recipe="paper", supervised=True)
    assert TrainSettings(**settings.model_dump(mode="json")) == settings
    assert settings.all_bits == (16, 64)


def test_every_ablation_is_a_valid_recipe_with_the_bits_and_seed_of_its_base():
    rows = ablations(TrainSettings(bits=(16, 128), seed=3))
    assert all(row.all_bits == (16, 128) and row.seed == 3 for row in rows.values())
    assert len({row.model_dump_json() for row in rows.values()}) == len(rows)


@pytest.mark.parametrize("supervised", [False, True])
def test_the_paper_recipe_has_the_hash_head_of_the_paper(supervised):
    """D → 4096 → ReLU → dropout .3 → K, also where labels make the targets; what is given wins."""
    settings = TrainSettings(recipe="paper", supervised=supervised)
    model = Mcmfh(settings, 24, 20, (16, 32), seed=0)
    for head in (model.heads["image"], model.heads["report"], model.fused_head):
        before, linear, activation, dropout = head.trunk
        assert (before.p, linear.out_features, type(activation).__name__, dropout.p) == (0.0, 4096, "ReLU", 0.3)
        assert head.out["16"].in_features == 4096
    assert TrainSettings(recipe="paper", hidden=64, activation="gelu").hidden == 64


def test_a_model_without_relu_does_not_name_the_activation():
    """So that its digest, and older bundles, stay what they were."""
    named = [Shape(TrainSettings(recipe=name), 24, 20, (16,), 0).to_json() for name in ("default", "paper")]
    assert ["activation" in each["settings"] for each in named] == [False, True]
    assert [Shape.from_json(each).settings.activation for each in named] == ["gelu", "relu"]
