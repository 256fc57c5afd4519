"""Encoders that were fitted to an archive, towers and lexicons: whom they saw. No test item may be among them."""

from collections.abc import Iterator
from typing import Any

from mcmfh.encoders import lexicon
from mcmfh.encoders.lexical import base_of
from mcmfh.encoders.mcr_towers import bundle as towers
from mcmfh.store import files
from mcmfh.store.sealed import CONFIG

# Names of the encoders that lie in a store, below store/encoders.
FITTED = ("mcr", "lexical")


def fitted_to(uri: str) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """(name, whom it was fitted to, as JSON) of the encoder in the folder at `uri`, and of one that it stands on.

    Of encoders older than such records: None. Raises InputError where there is no such folder, or it was changed.
    """
    raw = files.read_json(files.join(uri, CONFIG)) if files.exists(files.join(uri, CONFIG)) else {}
    kind = lexicon.KIND if raw.get("format") == lexicon.KIND.format else towers.KIND
    folder = kind.open(uri)
    yield f"the {kind.noun} at '{uri}'", folder.config["training"].get("seen")
    if kind is lexicon.KIND:
        name, _, source = base_of(folder, "cpu")
        if name in FITTED and source:
            yield from fitted_to(source)
