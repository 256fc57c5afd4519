"""Access keys: made, read from the configuration and from the key file, and read again while the endpoint serves.

A key has 256 random bits, so its plain hash cannot be inverted; salting and stretching are for passwords. Whether an
endpoint is guarded depends on the configuration alone, never on what the key file holds at the moment.
"""

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import yaml
from pydantic import TypeAdapter

from mcmfh.config import KeyConfig, ServeConfig
from mcmfh.errors import InputError
from mcmfh.store import files

# Keys that could not be read again for so long admit nobody: a store that hangs must not keep a revoked key alive.
STALE_S = 60.0
MOST_NODES = 1_000_000  # values in a key file


def key_digest(key: str) -> bytes:
    """sha256 of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def new_key() -> tuple[str, str]:
    """(a new key, the hex sha256 to configure). The key itself is stored nowhere."""
    key = f"mcmfh_{secrets.token_urlsafe(32)}"
    return key, key_digest(key).hex()


def configured_keys(serve: ServeConfig) -> list[KeyConfig]:
    """serve.keys, and those listed in the file at serve.keys_uri.

    Raises InputError where the file is missing, unreadable, empty, damaged or perhaps cut, or where two keys share a
    name or a hash.
    """
    keys = [*serve.keys, *(_listed(serve.keys_uri) if serve.keys_uri else ())]
    if len({key.name for key in keys}) < len(keys):
        raise InputError("two access keys have the same name; give each its own")
    if len({key.sha256 for key in keys}) < len(keys):
        raise InputError(
            "two lines are of the same access key (equal sha256), and may allow different things; keep one"
        )
    return keys


def _listed(uri: str) -> list[KeyConfig]:
    try:
        keys = TypeAdapter(list[KeyConfig]).validate_python(_bounded(yaml.load(files.read(uri), _Loader)))
    except InputError:  # of the address
        raise
    except _PerhapsCut:
        raise InputError(
            f"key file '{uri}' may have been cut: its last key stands on several lines, and some could be missing; end "
            "the file with the line '...', or write that key on one line, as mcmfh key new prints it"
        ) from None
    except FileNotFoundError:
        raise InputError(f"key file '{uri}' does not exist; correct serve.keys_uri") from None
    except (yaml.YAMLError, RecursionError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        # YAML's own errors are not all: a 30th of February is a ValueError, "!!bool x" a KeyError.
        # The faulty text may be a key that somebody pasted; the message does not repeat it.
        raise InputError(
            f"key file '{uri}' is not a list of {{name, sha256}}; make its lines with mcmfh key new NAME"
        ) from None
    except OSError as error:
        raise InputError(f"key file '{uri}' cannot be read ({type(error).__name__}); check its rights") from None
    if not keys:
        raise InputError(f"key file '{uri}' lists no key, so nobody could enter; add one with mcmfh key new NAME")
    return keys


class _PerhapsCut(Exception):
    """Nothing shows that the last key of a file is complete."""


class _Loader(yaml.SafeLoader):
    """Refuses what could widen a key's rights: a field that is given twice, and a file that may have been cut.

    A key in braces does not parse when it is cut. One in block style does, and may then lack its `where`. It is known
    to be complete where another key follows, or "...", YAML's end of a document.
    """

    ended = False  # by "..."

    def parse_document_end(self) -> yaml.DocumentEndEvent:
        event = super().parse_document_end()
        self.ended = bool(event.explicit)
        return event

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if isinstance(node, yaml.SequenceNode) and not node.flow_style and not self.ended:
            last = node.value[-1] if node.value else None
            if isinstance(last, yaml.CollectionNode) and not last.flow_style:
                raise _PerhapsCut
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(names)) < len(names):
            raise yaml.constructor.ConstructorError(None, None, "a field is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _bounded(document: Any) -> Any:
    """`document`. Raises ValueError where its aliases stand for more than MOST_NODES values."""
    waiting, seen = [document], 0
    while waiting:
        value, seen = waiting.pop(), seen + 1
        if seen > MOST_NODES:
            raise ValueError("the document is too large")
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return document


def keys_version(keys: Sequence[KeyConfig]) -> str:
    """16 hex digits that stand for a set of keys, with all that is configured for each: names, hashes, rates."""
    return files.digest(sorted((key.model_dump(mode="json") for key in keys), key=lambda key: str(key["name"])))[:16]


class KeyRing:
    """The keys that admit now, read again every `serve.poll_seconds` by a thread.

    `keys` is None for an endpoint without keys, and stays so; otherwise it is a list, empty while the key file cannot
    be used. `report(event, fields)` is called after each change and each failure.
    """

    def __init__(
        self,
        serve: ServeConfig,
        report: Callable[[str, dict[str, Any]], None] = lambda event, fields: None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.serve, self.report, self.clock = serve, report, clock
        self.stale_after = max(STALE_S, 3 * serve.poll_seconds)
        self._keys: tuple[KeyConfig, ...] = ()
        self._read_at = clock()
        self._failure: str | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="key-watcher", daemon=True)
        self.refresh()

    @property
    def keys(self) -> tuple[KeyConfig, ...] | None:
        """The keys that admit now; None where the endpoint was configured without any."""
        if not self.serve.guarded:
            return None
        return self._keys if self.clock() - self._read_at <= self.stale_after else self.serve.keys

    @property
    def version(self) -> str | None:
        """The version of the key set; None without keys."""
        return None if self.keys is None else keys_version(self.keys)

    def start(self) -> None:
        """Start reading the key file again and again; without one there is nothing to read."""
        if self.serve.keys_uri:
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def refresh(self) -> None:
        """Read the keys now. Never raises: a key file that cannot be used admits nobody."""
        began, failing = self.clock(), None
        try:
            keys = tuple(configured_keys(self.serve))
        except Exception as error:  # a store's client raises what it likes
            keys, failing = self.serve.keys, self._reason(error)
        changed = (keys, failing) != (self._keys, self._failure)
        self._keys, self._failure, self._read_at = keys, failing, began
        if failing and changed:
            self.report("keys_failed", {"reason": failing})
        elif changed:
            self.report("keys", {"keys": len(keys), "version": keys_version(keys)})

    def _reason(self, error: Exception) -> str:
        """Why the keys cannot be used, without the address of the key file."""
        message = str(error) if isinstance(error, InputError) else type(error).__name__
        return message.replace(str(self.serve.keys_uri), "serve.keys_uri")

    def _run(self) -> None:
        while not self._stop.wait(self.serve.poll_seconds):
            self.refresh()
