"""The pool of encoders: what is asked for on which cluster."""

import pytest

from mcmfh.bulk.pool import Pool, encoder_pool, waits_for_a_node
from mcmfh.config import load_config
from mcmfh.encoders import EncoderSpec, ImagePreprocessing


def pool(*overrides: str, device: str = "cpu", apart: bool = True, units: int = 100, **up: float) -> Pool:
    spec = EncoderSpec("trivial", "none", "none", ImagePreprocessing(), 3, 1, device)
    return encoder_pool(load_config(overrides, read_default=False), spec, units, up, apart)


def sizes(pool: Pool) -> tuple[int, int]:
    return pool.least, pool.most


def test_one_more_than_fit_is_asked_for_and_it_grows_with_the_cluster():
    assert sizes(pool(CPU=6)) == (7, 100)
    assert sizes(pool(CPU=6, units=3)) == (3, 3)
    assert sizes(pool(device="cuda", CPU=64, GPU=4)) == (5, 100)
    assert sizes(pool("encoder.num_gpus=0.25", device="cpu", CPU=64, GPU=1)) == (5, 100)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_it_can_be_asked_for_before_the_first_node_is_up(device):
    assert sizes(pool(device=device)) == (2, 100)
    assert sizes(pool(device=device, CPU=0.0)) == (2, 100)


def test_what_an_autoscaler_may_add_is_asked_for_at_once():
    assert sizes(pool("cluster.max_cpus=32", CPU=2)) == (32, 32)
    assert sizes(pool("cluster.max_gpus=3", device="cuda", CPU=2)) == (3, 3)
    assert sizes(pool("cluster.max_gpus=3", "encoder.num_gpus=0.5", device="cuda", CPU=2, GPU=1)) == (6, 6)
    assert sizes(pool("cluster.max_gpus=0", CPU=2)) == (3, 100)
    assert sizes(pool("cluster.max_cpus=32", CPU=2, units=5)) == (5, 5)


def test_a_job_takes_no_more_than_its_quota():
    assert sizes(pool("cluster.max_cpus=32", CPU=64)) == (32, 32)
    assert sizes(pool("cluster.max_gpus=1", device="cuda", CPU=64, GPU=8)) == (1, 1)


def test_a_number_of_workers_is_kept():
    assert sizes(pool("embed.workers=2", "cluster.max_cpus=32", CPU=8)) == (2, 2)


@pytest.mark.parametrize(
    ("device", "more"),
    [("cpu", ()), ("cpu", ("cluster.max_cpus=999",)), ("cuda", ()), ("cpu", ("encoder.num_gpus=0.1",))],
)
@pytest.mark.parametrize("cpus", range(1, 97))
def test_a_loader_fits_beside_as_many_encoders_as_a_node_takes(cpus, device, more):
    asked = pool(*more, device=device, CPU=cpus, GPU=1)
    share = asked.encoder["num_cpus"]
    encoders = int(10**4 * cpus // (10**4 * share)) if share else 0
    assert encoders in (0, cpus)
    assert cpus - encoders * share >= asked.loader["num_cpus"] - 1e-9
    if asked.loaders and not asked.least > cpus:  # Ray Data reserves for the loaders what all of them ask for
        assert cpus - asked.loaders * asked.loader["num_cpus"] >= cpus * share
    assert pool(*more, device="cpu", apart=False, CPU=1).encoder["num_cpus"] <= 1


def test_memory_is_asked_for_where_it_is_configured():
    assert "memory" not in pool(CPU=1).encoder
    assert pool("encoder.memory_mb=2000", CPU=1).encoder["memory"] == 2000 * 2**20
    assert "memory" not in pool("encoder.memory_mb=2000", CPU=1).loader
    assert pool("cluster.task_memory_mb=100", CPU=1).loader["memory"] == 100 * 2**20


@pytest.mark.parametrize("limit", [(), ("embed.workers=2",), ("cluster.max_cpus=32",), ("cluster.max_gpus=4",)])
def test_only_a_pool_without_limit_has_an_encoder_that_waits_for_a_node(limit):
    assert waits_for_a_node(load_config(limit, read_default=False)) == (not limit)
