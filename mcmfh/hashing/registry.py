"""Which models a store holds, in the order they were trained: `models/<n>.json` points at a bundle."""

from typing import Any

from mcmfh.errors import InputError
from mcmfh.store import files, numbered
from mcmfh.store.layout import bundles_folder, models_folder
from mcmfh.store.relative import named, sealed_address


def register(store: str, bundle: str, bundle_digest: str, code_digest: str) -> int:
    """Make the bundle at URI `bundle` the store's latest model, unless it is already; returns its number."""
    entry = {"bundle": named(store, bundle), "bundle_digest": bundle_digest, "code_digest": code_digest}

    def build(head: tuple[int, dict[str, Any]] | None) -> dict[str, Any] | None:
        return None if head and bundle_address(store, head[1]["bundle"]) == files.absolute(bundle) else entry

    return numbered.append(models_folder(store), build)[0]


def resolve(store: str, bundle: str) -> str:
    """The URI of `bundle`: "latest" is the store's newest model, anything else a URI already."""
    if bundle != "latest":
        return files.absolute(bundle)
    head = numbered.head(models_folder(store))
    if head is None:
        raise InputError(
            f"store '{store}' holds no model; run jobs/train.py first, or set hash.bundle to a bundle's URI"
        )
    return bundle_address(store, head[1]["bundle"])


def bundle_address(store: str, name: str) -> str:
    """The URI of the bundle that a document of `store` names."""
    return sealed_address(store, name, bundles_folder(store))
