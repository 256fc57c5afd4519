"""The log: one JSON object a line, on standard output, of an event and plain facts about it.

No report text, file name, address or item id can enter: only the fields that callers name, and an item as a salted
hash, by which lines of one process can be told to mean the same item and nobody can tell which.
"""

import hashlib
import hmac
import json
import secrets
import sys
import time
from typing import Any, TextIO

_SALT = secrets.token_bytes(32)


class Journal:
    def __init__(self, stream: TextIO | None = None):
        self.stream = stream

    def write(self, event: str, fields: dict[str, Any]) -> None:
        """Append one line; fields that are None are left out."""
        line = {"time": round(time.time(), 3), "event": event, **{k: v for k, v in fields.items() if v is not None}}
        print(json.dumps(line), file=self.stream or sys.stdout, flush=True)


def pseudonym(item_id: str) -> str:
    """16 hex digits for an item, of no use outside this process."""
    return hmac.digest(_SALT, item_id.encode("utf-8", "surrogateescape"), hashlib.sha256).hex()[:16]
