"""What runs the steps of a stage. Jobs run them on Ray; tests run them in their own process, in small portions."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from mcmfh.bulk.embed import UnitDone, embed
from mcmfh.bulk.listing import RANGE_ROWS
from mcmfh.bulk.tasks import Each, each
from mcmfh.config import Config
from mcmfh.embeddings.plan import Unit
from mcmfh.encoders import EncoderSpec
from mcmfh.pipeline.encoder import decided_spec
from mcmfh.snapshots.shards import SHARD_ROWS

Embed = Callable[[Config, EncoderSpec, list[Unit]], Iterator[UnitDone]]


@dataclass(frozen=True)
class Execution:
    """How a stage calls its steps, embeds its units and identifies its encoder, and how large its portions are."""

    each: Each = each
    embed: Embed = embed
    spec: Callable[[Config], EncoderSpec] = decided_spec
    range_rows: int = RANGE_ROWS  # of one range of keys
    shard_rows: int = SHARD_ROWS


def on_ray(config: Config) -> Execution:
    """How jobs run: on the connected cluster."""
    return Execution(each=partial(each, cluster=config.cluster))
