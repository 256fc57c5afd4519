"""The access log: one JSON object a line, on standard output, with an event and plain facts about it.

It holds no report text, file name, URI or item id. Only the fields that callers name are written, and an item appears
as a salted hash: lines of one process show the same hash for the same item, but nobody can compute the item from it.
"""

import hashlib
import hmac
import json
import secrets
import sys
import time
from typing import Any, TextIO


class AccessLog:
    def __init__(self, stream: TextIO | None = None):
        self.stream = stream
        self.salt = secrets.token_bytes(32)

    def write(self, event: str, fields: dict[str, Any]) -> None:
        """Write one line; fields that are None are omitted."""
        line = {"time": round(time.time(), 3), "event": event, **{k: v for k, v in fields.items() if v is not None}}
        print(json.dumps(line), file=self.stream or sys.stdout, flush=True)

    def pseudonym(self, item_id: str) -> str:
        """16 hex digits that stand for an item in this log."""
        return hmac.digest(self.salt, item_id.encode("utf-8", "surrogateescape"), hashlib.sha256).hex()[:16]
