"""Where everything lies below a store."""

from mcmfh.store import files


def archive_root(store: str, name: str) -> str:
    """Where the archive's shards and snapshots live."""
    return files.join(files.absolute(store), "archives", name)
