"""`mcmfh replay RECEIPT`."""

from pathlib import Path
from typing import Annotated

import typer

from mcmfh.config import load_config


def replay(
    receipt: Annotated[Path, typer.Argument(help="A file with an answer of /v1/search, or with its receipt.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="section.key=value …", show_default=False)] = None,
) -> None:
    """Ask the configured archive what RECEIPT asked, and say whether the hits are the same; exit code 1 if not."""
    from mcmfh.search.replay import read_receipt
    from mcmfh.search.replay import replay as ask_again
    from mcmfh.store.layout import archive_root

    config = load_config(overrides or [])
    replayed = ask_again(archive_root(config.store, config.archive.name), *read_receipt(receipt))
    print("\n".join(replayed.sentences))
    raise typer.Exit(0 if replayed.same else 1)
