"""Ray for a command of jobs/measure.py, before anything that imports Ray is imported."""

from collections.abc import Sequence

from mcmfh import ray_session
from mcmfh.config import Config, load_config


def connected(overrides: Sequence[str]) -> Config:
    """The configuration, once Ray is connected."""
    config = load_config(overrides)
    ray_session.connect(config.cluster)
    return config
