"""The endpoint's answer without an endpoint: a snapshot is opened and searched in this process."""

from typing import Any

from mcmfh.archive.images import Limits
from mcmfh.search.query import validated
from mcmfh.search.retrieval import Retrieval

LIMITS = Limits()


def search_snapshot(root: str, image: bytes | None, fields: dict[str, Any]) -> dict[str, Any]:
    """The answer to /v1/search from the newest snapshot of the archive at `root`. Raises InputError, DecodeError."""
    query = validated({**fields, **({"image": image} if image else {})})
    return Retrieval(root, LIMITS).answer(query)
