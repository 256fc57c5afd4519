"""One masked stream against two: its advantage counted, not timed, and the contestants differ in nothing else."""

import pytest
import torch
from support.drawn_pairs import small
from torch.utils.flop_counter import FlopCounterMode

from mcmfh.benchmarks.pretraining import peak_bytes, run
from mcmfh.pretraining.fitting import step_terms
from mcmfh.pretraining.step_time import Stepper, both_streams


@pytest.fixture(scope="module")
def steppers() -> dict[str, Stepper]:
    settings = small(image_size=64, batch_size=4, context=48)
    return {name: Stepper(each, "cpu") for name, each in both_streams(settings).items()}


def counted(stepper: Stepper) -> tuple[int, int]:
    """(FLOPs of forward and backward, bytes of activations that are kept between them)."""
    weights = {p.untyped_storage().data_ptr() for p in stepper.trainee.parameters()}
    kept: dict[int, int] = {}

    def keep(x: torch.Tensor) -> torch.Tensor:
        if x.untyped_storage().data_ptr() not in weights:
            kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with FlopCounterMode(display=False) as flops, torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        terms = step_terms(
            stepper.trainee, stepper.pairs, stepper.settings, torch.Generator().manual_seed(0), torch.device("cpu")
        )
        held = sum(kept.values())
        torch.stack(list(terms.values())).sum().backward()
    return flops.get_total_flops(), held


def test_masked_only_computes_and_keeps_at_most_six_tenths(steppers):
    masked, dual = counted(steppers["masked-only"]), counted(steppers["dual-stream"])
    assert masked[0] <= 0.6 * dual[0]
    assert masked[1] <= 0.6 * dual[1]


def test_the_contestants_share_everything_but_the_stream(steppers):
    masked, dual = steppers["masked-only"], steppers["dual-stream"]
    assert masked.settings.model_copy(update={"stream": "dual"}) == dual.settings
    same = zip(masked.trainee.state_dict().items(), dual.trainee.state_dict().items())
    assert all(a == b and torch.equal(x, y) for (a, x), (b, y) in same)


@pytest.mark.slow
def test_the_table_is_made():
    settings = small(batch_size=8)
    assert peak_bytes(settings) > 4 * 4 * 3_000_000, "weights, gradients and two moments"
    assert "| step, s |" in run(settings, rounds=1)
