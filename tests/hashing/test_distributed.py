"""Two workers with b rows each take the very step of one worker with 2b: same loss, same gradient."""

import os
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from support.planted import planted_table, small

from mcmfh.hashing.fitting import Pairs, batch_target
from mcmfh.hashing.preparation import prepare
from mcmfh.hashing.trainee import Trainee
from mcmfh.processes import free_port

ROWS = 32
CASES = ("paper", "supervised", "missing token")


def loss_and_gradient(name: str, rank: int, world: int) -> dict[str, torch.Tensor]:
    """One backward pass on this worker's share of the first ROWS pairs, without the randomness of dropout."""
    settings = small(name, dropout=0.0, input_dropout=0.0, missing_dropout=0.0, batch_size=ROWS)
    prepared = prepare(planted_table(), settings)
    trainee = Trainee(prepared.first_model(), settings).train()
    module = torch.nn.parallel.DistributedDataParallel(trainee) if world > 1 else trainee
    share = slice(rank * ROWS // world, (rank + 1) * ROWS // world)
    pairs = Pairs.from_rows(torch.from_numpy(prepared.rows[share]), prepared.widths, "cpu")
    terms = module(pairs.image, pairs.report, batch_target(pairs, settings, prepared.temperature))
    loss = torch.stack(list(terms.values())).sum()
    loss.backward()
    return {"loss": loss.detach()} | {n: p.grad for n, p in trainee.named_parameters() if p.grad is not None}


def worker(rank: int, address: str, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    for name in CASES:
        found = loss_and_gradient(name, rank, 2)
        safetensors.torch.save_file(found, Path(folder) / f"{name}-{rank}.safetensors")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("gradients")
    address = f"tcp://127.0.0.1:{free_port()}"
    here = str(Path(__file__).parent)
    os.environ["PYTHONPATH"] = os.pathsep.join([here, str(Path(here).parent), os.environ.get("PYTHONPATH", "")])
    mp.spawn(worker, (address, str(folder)), nprocs=2)
    return folder


@pytest.mark.parametrize("name", CASES)
def test_two_workers_equal_one_with_the_double_batch(name, two_workers):
    alone = loss_and_gradient(name, 0, 1)
    for rank in (0, 1):
        found = safetensors.torch.load_file(two_workers / f"{name}-{rank}.safetensors")
        assert found.keys() == alone.keys()
        for parameter, gradient in alone.items():
            assert torch.allclose(found[parameter], gradient, atol=1e-5, rtol=1e-5), parameter
