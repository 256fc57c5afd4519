"""`mcmfh check --leaks`: the leak check of a manifest, without a store and without a cluster."""

import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from mcmfh.config import Config
from mcmfh.embeddings.seen import Seen
from mcmfh.encoders import lexicon
from mcmfh.encoders.fitted import FITTED, fitted_to
from mcmfh.encoders.mcr_towers import bundle as towers
from mcmfh.evaluation.leak_check import find_leaks
from mcmfh.hashing import bundle as models
from mcmfh.pipeline.archive import read_archive
from mcmfh.pipeline.split import divide
from mcmfh.store import files


def leak_lines(config: Config, trained: Sequence[str] = ()) -> tuple[list[str], int]:
    """(one line for each test item that training has met, and the split; the number of those items).

    The split is the one that `config` asks for. A patient on two sides of the manifest's own split is a leak here, not
    an error. `trained`: URIs of model bundles and pretrained towers that are asked whom they saw, beside the encoder.
    """
    with tempfile.TemporaryDirectory() as store:
        archive = read_archive(config.archive)
        split = divide(config.model_copy(update={"store": store}), archive, straddling=True).split
    lines, seen = [split.line()], {}
    encoder = [config.encoder.source] if config.encoder.name in FITTED and config.encoder.source else []
    for name, record in _records([*trained, *encoder]):
        if record is None:
            lines.append(f"whom {name} saw was not recorded when it was trained")
        else:
            seen[name] = Seen.from_json(record)
    leaks = find_leaks(split, seen)
    lines += [f"test item '{leak.item_id}': {'; '.join(leak.reasons)}" for leak in leaks]
    lines.append(f"{len(leaks):,} of {(split.role == 'test').sum():,} test items leak")
    return lines, len(leaks)


def _records(uris: Sequence[str]) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """(name, whom it saw as JSON) of each bundle, of each fitted encoder, and of the encoder behind a bundle."""
    for uri in dict.fromkeys(uris):
        raw = files.read_json(files.join(uri, "config.json")) if files.exists(files.join(uri, "config.json")) else {}
        if raw.get("format") in (towers.KIND.format, lexicon.KIND.format):
            yield from fitted_to(uri)
            continue
        config = models.KIND.open(uri).config
        yield f"the model at '{uri}'", config["training"].get("seen")
        if config.get("encoder") in FITTED and config.get("encoder_source"):
            yield from fitted_to(config["encoder_source"])
