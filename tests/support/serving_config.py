"""The configuration that serves the archive at a root, for the tests of serving."""

from typing import Any

from mcmfh.config import Config


def served(root: str, **serve: Any) -> Config:
    """`root` is store/archives/<name>."""
    store, _, name = root.rpartition("/archives/")
    return Config.model_validate({"store": store, "archive": {"name": name}, "serve": serve})
