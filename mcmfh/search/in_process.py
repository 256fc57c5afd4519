"""The endpoint's answer without an endpoint: from a snapshot, in this process."""

from typing import Any

from mcmfh.archive.images import Limits
from mcmfh.search.query import validated
from mcmfh.search.retrieval import Retrieval

LIMITS = Limits()


def search_snapshot(root: str, image: bytes | None, fields: dict[str, Any]) -> dict[str, Any]:
    """The same answer from the newest snapshot of the archive at `root`, in this process."""
    query = validated({**fields, **({"image": image} if image else {})})
    return Retrieval(root, LIMITS).search(query)
