"""The towers in one immutable folder, named by the digest of its files and verified whenever it is loaded.

    model.safetensors   weights of towers and aggregation (not of the decoders, which retrieval does not need)
    vocab.txt           word pieces
    metrics.json        measured on validation
    config.json         shape, how it was trained and on whom (embeddings/seen.py), digests of the other files

It is an encoder like any other: encoder.name=mcr encoder.source=<the folder's URI>. See store/sealed.py for the folder.
"""

from typing import Any

import safetensors.torch

from mcmfh.encoders.mcr_towers.model import Mcr
from mcmfh.encoders.mcr_towers.settings import TowerSettings
from mcmfh.encoders.mcr_towers.vocabulary import Vocabulary
from mcmfh.store import files
from mcmfh.store.sealed import Kind

FILES = ("model.safetensors", "vocab.txt", "metrics.json")
KIND = Kind("mcr-towers-1", FILES, "towers", "pretrain again (jobs/pretrain.py)")


def save_towers(
    root: str, model: Mcr, vocabulary: Vocabulary, metrics: dict[str, Any], training: dict[str, Any]
) -> str:
    """Write `root`/<digest>/ and return its URI."""
    state = {name: x.detach().cpu().contiguous() for name, x in model.state_dict().items()}
    contents = {
        "model.safetensors": safetensors.torch.save(state),
        "vocab.txt": vocabulary.text.encode(),
        "metrics.json": files.canonical_json(metrics),
    }
    return KIND.seal(root, contents, {"towers": model.settings.model_dump(mode="json"), "training": training})


def read_config(uri: str) -> dict[str, Any]:
    """config.json of the towers at `uri`, whose name must be its digest. Raises InputError."""
    return KIND.open(uri).config


def load_towers(uri: str) -> tuple[Mcr, Vocabulary]:
    """The towers at `uri` on the CPU, for evaluation. Raises InputError when a file is missing or was changed."""
    folder = KIND.open(uri)
    settings = TowerSettings(**folder.config["towers"])
    vocabulary = Vocabulary(folder.contents["vocab.txt"].decode(), settings.context)
    model = Mcr(settings, len(vocabulary))
    model.load_state_dict(safetensors.torch.load(folder.contents["model.safetensors"]))
    return model.eval(), vocabulary
