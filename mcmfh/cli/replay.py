"""`mcmfh replay RECEIPT`."""

from pathlib import Path
from typing import Annotated

import typer

from mcmfh.config import load_config


def replay(
    receipt: Annotated[Path, typer.Argument(help="A file with an answer of /v1/search, or with its receipt.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="section.key=value …", show_default=False)] = None,
) -> None:
    """Ask again what RECEIPT asked, and say whether the hits are the same; exit code 1 if not.

    The archive is the one that the receipt names, which it does where the endpoint serves several, else archive.name.
    """
    from mcmfh.search.replay import read_receipt
    from mcmfh.search.replay import replay as ask_again
    from mcmfh.store.layout import archive_root

    config = load_config(overrides or [])
    fields, hits = read_receipt(receipt)
    replayed = ask_again(archive_root(config.store, fields.get("archive") or config.archive.name), fields, hits)
    print("\n".join(replayed.sentences))
    raise typer.Exit(0 if replayed.same else 1)
