"""What is written once and verified whenever it is read: folders named by their digest, and results computed once.

A sealed folder holds files and, written last, a `config.json` with the sha256 of each file under "files". The folder's
name is the sha256 of all (file name, file digest) pairs. No file holds a time, so equal contents make an equal folder.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mcmfh.errors import InputError
from mcmfh.store import documents, files

CONFIG = "config.json"


@dataclass(frozen=True)
class Kind:
    """One kind of sealed folder: its format, its files beside config.json, and the words of its errors."""

    format: str
    files: tuple[str, ...]
    noun: str  # "bundle"
    remedy: str  # "train again"

    def seal(self, folder: str, contents: Mapping[str, bytes], config: Mapping[str, Any]) -> str:
        """Write `folder`/<digest>/ and return its URI; the same contents written twice are one folder.

        config: what config.json says beside the format and the digests.
        """
        assert set(contents) == set(self.files), "a sealed folder holds the files of its kind"
        digests = {name: files.digest(data) for name, data in contents.items()}
        raw = files.canonical_json({"format": self.format, **config, "files": digests})
        uri = files.join(files.absolute(folder), folder_digest(digests, raw))
        for name, data in contents.items():
            files.put(files.join(uri, name), data)
        files.put(files.join(uri, CONFIG), raw)  # last: a folder that has it is complete
        return uri

    def open(self, uri: str) -> "Sealed":
        """The folder at `uri`, whose name and config.json are verified. Raises InputError."""
        uri = files.absolute(uri)
        raw = self.read(uri, CONFIG)
        try:
            config = json.loads(raw)
            written = config["format"]
            digest = folder_digest(config["files"], raw)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"config.json of {self.noun} '{uri}' is damaged; restore it or {self.remedy}") from error
        if written != self.format:
            raise InputError(f"{self.noun} '{uri}' has format {written}; this version reads {self.format}")
        if uri.rpartition("/")[2] != digest:
            raise InputError(
                f"config.json of {self.noun} '{uri}' or its folder's name was changed (it hashes to {digest}); "
                "restore it"
            )
        return Sealed(self, uri, digest, config)

    def read(self, uri: str, name: str) -> bytes:
        """One file, not verified. Raises InputError where it is missing."""
        try:
            return files.read(files.join(uri, name))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise InputError(
                f"no {self.noun} at '{uri}': {name} is missing; correct the address or {self.remedy}"
            ) from error


@dataclass(frozen=True)
class Sealed:
    """A sealed folder whose name and config.json are verified."""

    kind: Kind
    uri: str
    digest: str
    config: dict[str, Any]

    @cached_property
    def contents(self) -> dict[str, bytes]:
        """Every file but config.json, verified. Raises InputError where one is missing or was changed."""
        contents = {name: self.kind.read(self.uri, name) for name in self.kind.files}
        for name, data in contents.items():
            if files.digest(data) != self.config["files"].get(name):
                raise InputError(
                    f"{name} of {self.kind.noun} '{self.uri}' was changed after it was written; "
                    f"restore it or {self.kind.remedy}"
                )
        return contents


def folder_digest(digests: Mapping[str, str], config: bytes) -> str:
    """The name of a sealed folder: digests of its files, and config.json itself."""
    return files.digest(sorted([*digests.items(), (CONFIG, files.digest(config))]))


def stored(uri: str) -> Any | None:
    """The JSON document at `uri`, verified, or None where there is none. Raises Damaged."""
    try:
        return documents.read(uri)
    except FileNotFoundError:
        return None


def once(uri: str, make: Callable[[], Any]) -> Any:
    """The JSON document at `uri`. Where there is none, what `make` returns is stored first.

    The document is read back: of racing writers all return what the first of them stored.
    """
    return documents.opened(uri, once_bytes(uri, lambda: documents.sealed(make())))


def once_bytes(uri: str, make: Callable[[], bytes]) -> bytes:
    """`once` for bytes of any kind."""
    try:
        return files.read(uri)
    except FileNotFoundError:
        files.create(uri, make())
        return files.read(uri)
