"""Two workers with b pairs each take the very step of one worker with 2b: same loss, same gradient."""

import os
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from support.drawn_pairs import guided, make_pairs, make_vocabulary, small

from mcmfh.pretraining.fitting import step_terms
from mcmfh.pretraining.trainee import Trainee
from mcmfh.processes import free_port

ROWS = 12
CASES = {
    "masked": {},
    "dual": {"stream": "dual"},
    "pool first": {"aggregation": "pool_first", "reconstruction": False},
    "graded": {"targets": "graded"},
}


def loss_and_gradient(name: str, rank: int, world: int) -> dict[str, torch.Tensor]:
    """One backward pass on this worker's share of ROWS pairs, among them equal reports."""
    settings = small(batch_size=ROWS, **CASES[name])
    trainee = Trainee(settings, make_vocabulary())
    module = torch.nn.parallel.DistributedDataParallel(trainee) if world > 1 else trainee
    pairs = guided(make_pairs(ROWS))[rank * ROWS // world : (rank + 1) * ROWS // world]
    generator = torch.Generator().manual_seed(5)
    terms = step_terms(module, pairs, settings, generator, torch.device("cpu"))
    torch.stack(list(terms.values())).sum().backward()
    gradients = {n: p.grad for n, p in trainee.named_parameters() if p.grad is not None}
    return {name: value.detach() for name, value in terms.items()} | gradients


def worker(rank: int, address: str, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    for name in CASES:
        safetensors.torch.save_file(loss_and_gradient(name, rank, 2), Path(folder) / f"{name}-{rank}.safetensors")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("gradients")
    address = f"tcp://127.0.0.1:{free_port()}"
    tests = Path(__file__).parents[1]
    places = [str(Path(__file__).parent), str(tests), str(tests.parent), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(places)
    mp.spawn(worker, (address, str(folder)), nprocs=2)
    return folder


@pytest.mark.parametrize("name", CASES)
def test_two_workers_equal_one_with_the_double_batch(name, two_workers):
    alone = loss_and_gradient(name, 0, 1)
    assert set(alone) >= ({"contrast"} if name == "pool first" else {"contrast", "patches", "tokens", "log_scale"})
    assert ("intra" in alone) == (name == "graded")
    for rank in (0, 1):
        found = safetensors.torch.load_file(two_workers / f"{name}-{rank}.safetensors")
        assert found.keys() == alone.keys()
        for parameter, gradient in alone.items():
            assert torch.allclose(found[parameter], gradient, atol=1e-5, rtol=1e-5), parameter
