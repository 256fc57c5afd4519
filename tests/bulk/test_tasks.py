"""Many calls of one function as tasks: how many run at a time, and what each asks for."""

from pathlib import Path

import pytest
import ray

from mcmfh.bulk.tasks import each
from mcmfh.config import ClusterConfig


def run(folder: str, call: int) -> tuple[int, int]:
    """(the call, how many run at this moment)."""
    mark = Path(folder, str(call))
    mark.touch()
    count = len(list(Path(folder).iterdir()))
    ray.get(ray.remote(num_cpus=0)(lambda: None).remote())
    mark.unlink()
    return call, count


@pytest.mark.parametrize("quota", [1, 2])
def test_no_more_run_at_a_time_than_the_quota(cluster, tmp_path, quota):
    calls = [(str(tmp_path), call) for call in range(12)]
    done = list(each(run, calls, ClusterConfig(max_cpus=quota)))
    assert [call for call, _ in done] == list(range(12))
    assert max(count for _, count in done) <= quota


def test_a_task_asks_for_the_memory_it_is_told_to(cluster):
    def asked() -> float:
        return ray.get_runtime_context().get_assigned_resources().get("memory", 0)

    assert list(each(asked, [()], ClusterConfig(task_memory_mb=100))) == [100 * 2**20]
    assert list(each(asked, [()])) == [0]
