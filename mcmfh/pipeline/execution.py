"""What runs the steps of a stage. Jobs run them on Ray; tests run them in their own process, in small portions."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mcmfh import ray_session
from mcmfh.bulk.embed import UnitDone, embed
from mcmfh.bulk.listing import RANGE_ROWS
from mcmfh.bulk.tasks import Each, each
from mcmfh.config import Config
from mcmfh.embeddings.plan import Unit
from mcmfh.encoders import EncoderSpec, encoder_spec
from mcmfh.snapshots.shards import SHARD_ROWS

Embed = Callable[[Config, EncoderSpec, list[Unit]], Iterator[UnitDone]]


def current_spec(config: Config) -> EncoderSpec:
    """The configured encoder, on the configured device or the one this cluster has."""
    encoder = config.encoder
    device = ray_session.device(encoder.use_gpu) if encoder.device == "auto" else encoder.device
    return encoder_spec(encoder.name, device, encoder.source)


@dataclass(frozen=True)
class Execution:
    """How a stage calls its steps, embeds its units and identifies its encoder, and how large its portions are."""

    each: Each = each
    embed: Embed = embed
    spec: Callable[[Config], EncoderSpec] = current_spec
    range_rows: int = RANGE_ROWS  # of one range of keys
    shard_rows: int = SHARD_ROWS


ON_RAY = Execution()
