"""Any encoder with a lexicon beside it: a report is [what the encoder says | its words in a few directions].

Its source is the URI that jobs/lexicon.py printed. Pictures are embedded as by the encoder alone.
"""

from dataclasses import replace

from mcmfh.encoders.base import Encoder
from mcmfh.encoders.lexicon import load_lexicon, open_lexicon
from mcmfh.encoders.spec import EncoderSpec
from mcmfh.errors import InputError
from mcmfh.store import files
from mcmfh.store.layout import encoders_folder
from mcmfh.store.relative import sealed_address
from mcmfh.store.sealed import Sealed


def spec(device: str, source: str | None = None) -> EncoderSpec:
    """The identity of the lexicon at the URI `source` and of its encoder on `device`. Builds no network.

    Raises InputError where the lexicon, or a file of its encoder, is missing or was changed.
    """
    from mcmfh.encoders import encoder_spec

    folder = _opened(source)
    base = encoder_spec(*base_of(folder, device))
    return replace(
        base,
        name="lexical",
        weights=files.digest([base.weights, folder.digest]),
        architecture=f"{base.name} {base.architecture} + words",
        report_width=base.report_width + int(folder.config["width"]),
        source=source,
    )


def load(device: str, source: str | None = None) -> Encoder:
    """The encoder with its weights and the lexicon. Raises InputError where something is missing or was changed."""
    from mcmfh.encoders import load_encoder

    folder = _opened(source)
    base = load_encoder(*base_of(folder, device))
    return Encoder(spec(device, source), base.towers, load_lexicon(folder))


def base_of(folder: Sealed, device: str) -> tuple[str, str, str | None]:
    """(name, device, source) of the encoder that the lexicon stands beside; towers of the same store move with it."""
    base = folder.config["base"]
    source: str | None = base["source"]
    if base["name"] == "mcr" and source is not None:
        store = files.parent(files.parent(folder.uri))
        source = sealed_address(store, source, encoders_folder(store))
    return base["name"], device, source


def _opened(source: str | None) -> Sealed:
    if source is None:
        raise InputError("encoder 'lexical' needs encoder.source: the URI that jobs/lexicon.py printed")
    return open_lexicon(source)
