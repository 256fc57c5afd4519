"""The towers in one immutable folder, named by the digest of its files and verified whenever it is loaded.

    model.safetensors   weights of towers and aggregation (not of the decoders, which retrieval does not need)
    vocab.txt           word pieces
    metrics.json        measured on validation
    config.json         shape, how it was trained, digests of the other files

The folder's name is sha256 of all (file name, file digest) pairs; no file holds a time. It is an encoder like any
other: encoder.name=mcr encoder.source=<the folder's URI>.
"""

import json
from typing import Any

import safetensors.torch

from mcmfh.encoders.mcr_towers.model import Mcr
from mcmfh.encoders.mcr_towers.settings import TowerSettings
from mcmfh.encoders.mcr_towers.vocabulary import Vocabulary
from mcmfh.errors import InputError
from mcmfh.store import files

FORMAT = "mcr-towers-1"
FILES = ("model.safetensors", "vocab.txt", "metrics.json")


def save_towers(
    root: str, model: Mcr, vocabulary: Vocabulary, metrics: dict[str, Any], training: dict[str, Any]
) -> str:
    """Write `root`/<digest>/ and return its URI. config.json comes last: where it stands, all is there."""
    state = {name: x.detach().cpu().contiguous() for name, x in model.state_dict().items()}
    contents = {
        "model.safetensors": safetensors.torch.save(state),
        "vocab.txt": vocabulary.text.encode(),
        "metrics.json": files.canonical_json(metrics),
    }
    digests = {name: files.digest(data) for name, data in contents.items()}
    shape = model.settings.model_dump(mode="json")
    contents["config.json"] = files.canonical_json(
        {"format": FORMAT, "towers": shape, "training": training, "files": digests}
    )
    uri = files.join(files.absolute(root), _digest(digests, contents["config.json"]))
    for name, data in contents.items():
        files.put(files.join(uri, name), data)
    return uri


def read_config(uri: str) -> dict[str, Any]:
    """config.json of the towers at `uri`, whose name must be its digest. Raises InputError."""
    uri = files.absolute(uri)
    raw = _read(uri, "config.json")
    try:
        config = json.loads(raw)
        known, digest = config["format"] == FORMAT, _digest(config["files"], raw)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"config.json of the towers at '{uri}' is damaged; pretrain again") from error
    if not known:
        raise InputError(f"the towers at '{uri}' have format {config['format']}; this version reads {FORMAT}")
    if uri.rpartition("/")[2] != digest:
        raise InputError(f"config.json of the towers at '{uri}' or their folder's name was changed; restore it")
    return config


def load_towers(uri: str) -> tuple[Mcr, Vocabulary]:
    """The towers at `uri` on the CPU, for evaluation. Raises InputError when a file is missing or was changed."""
    uri = files.absolute(uri)
    config = read_config(uri)
    contents = {name: _read(uri, name) for name in FILES}
    for name, data in contents.items():
        if files.digest(data) != config["files"].get(name):
            raise InputError(f"{name} of the towers at '{uri}' was changed after training; restore it")
    settings = TowerSettings(**config["towers"])
    vocabulary = Vocabulary(contents["vocab.txt"].decode(), settings.context)
    model = Mcr(settings, len(vocabulary))
    model.load_state_dict(safetensors.torch.load(contents["model.safetensors"]))
    return model.eval(), vocabulary


def _digest(digests: dict[str, str], config: bytes) -> str:
    return files.digest(sorted([*digests.items(), ("config.json", files.digest(config))]))


def _read(uri: str, name: str) -> bytes:
    try:
        return files.read(files.join(uri, name))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"no pretrained towers at '{uri}': {name} is missing; run jobs/pretrain.py") from error
