"""What is a query and what is a database item: three protocols, and three databases for each."""

from dataclasses import dataclass

import numpy as np

from mcmfh.embeddings.table import EmbeddingTable

SINGLE = "single/single"
DATABASES = ("seen", "unseen", "all")
HEADLINE_DATABASES = ("seen", "unseen")


@dataclass(frozen=True)
class Protocol:
    """`directions`: name → (codes of the query, codes of the database), keys as in `Hasher.hash`."""

    name: str
    directions: dict[str, tuple[str, str]]


PROTOCOLS = (
    # The headline: a query is one image or one report, and so is a database item.
    Protocol(SINGLE, {"image→report": ("image", "report"), "report→image": ("report", "image")}),
    # Archive items that have both modalities may be stored under one fused code; queries still have one.
    Protocol("single/paired", {"image→study": ("image", "fused"), "report→study": ("report", "fused")}),
    # A query that was fused with its own report already holds the answer; the name says so wherever it is printed.
    Protocol(
        "paired/paired (leaky, for comparison only)",
        {
            "study→study": ("fused", "fused"),
            "image+report→report+image": ("paired_image", "paired_report"),
            "report+image→image+report": ("paired_report", "paired_image"),
        },
    ),
)


def present(table: EmbeddingTable, codes: str) -> np.ndarray:
    """bool[N]: the items that have what `codes` are made from."""
    return {"image": table.has_image, "report": table.has_report}.get(codes, table.paired)


def database_rows(table: EmbeddingTable, database: str, query_split: str) -> np.ndarray:
    """bool[N]: "seen" = items of the training split, "unseen" = those of the query's own split, "all" = every item.

    Ranking leaves a query's own study out of its database.
    """
    if database == "all":
        return np.ones(len(table), bool)
    chosen: np.ndarray = table.split == {"seen": "train", "unseen": query_split}[database]
    return chosen
