"""Folders of model files: on this machine, or a pinned revision of a hub that was fetched once."""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from mcmfh.errors import InputError
from mcmfh.store.files import digest

# What a tokenizer or a report tower of transformers reads beside the weights, and which of these holds a vocabulary.
VOCABULARIES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
)
TEXT_FILES = (
    *VOCABULARIES,
    "config.json",
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)


def model_folder(source: str | None, encoder: str, ask: str, wanted: Sequence[str]) -> Path:
    """The local folder of `source`: a path, or the cached copy of a pinned hub revision, downloaded if necessary.

    `ask` ends the messages: what to give as encoder.source. `wanted`: patterns of the files to fetch from a hub.
    Raises InputError where `source` is neither a folder nor a hub id with its commit, or cannot be fetched.
    """
    if source is None:
        raise InputError(f"encoder '{encoder}' has no weights of its own; {ask}")
    path = Path(source.removeprefix("file://")).expanduser()
    if path.is_dir():
        return path
    pinned = re.fullmatch(r"(?:hf-hub:)?([\w.-]+/[\w.-]+)@([0-9a-f]{40})", source)
    if pinned is None:
        raise InputError(f"encoder source '{source}' is neither a folder nor a hub id with its 40-digit commit; {ask}")
    return _from_hub(pinned[1], pinned[2], list(wanted))


def _from_hub(repository: str, revision: str, wanted: list[str]) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=wanted))
    except Exception as error:  # the hub client raises many types: no network, unknown revision, no access
        raise InputError(
            f"'{repository}@{revision}' is not in the hub's cache and could not be fetched ({error}); "
            "copy its files to this machine and give their folder as encoder.source"
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`. Raises InputError where it is missing or is none."""
    try:
        value = json.loads(path.read_text())
    except (FileNotFoundError, ValueError) as error:
        raise InputError(f"'{path}' is missing or broken ({error!r}); copy it from the model's page") from error
    if not isinstance(value, dict):
        raise InputError(f"'{path}' holds no JSON object; copy it from the model's page")
    return value


def require_vocabulary(folder: Path) -> None:
    """Raise InputError where no tokenizer lies in `folder`: transformers would make up one without words."""
    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise InputError(f"'{folder}' has no tokenizer; copy {VOCABULARIES[0]} from the model's page into it")


def files_digest(paths: Iterable[Path]) -> str:
    """sha256 of the names and contents of these files, in the order of their names."""
    return digest([[path.name, file_sha256(path)] for path in sorted(paths, key=lambda path: path.name)])


def file_sha256(path: Path) -> str:
    """sha256 of a file, hashed again only where its time of change is another."""
    return _sha256(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256(path: Path, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
