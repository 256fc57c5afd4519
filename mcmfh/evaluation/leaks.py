"""Items that training has met in another guise: with an equal text, or with a nearly equal picture."""

import numpy as np

from mcmfh.embeddings.table import EmbeddingTable

# Ends the name of a measure of the queries that are left when those are taken out.
APART = ", apart from train"


def met_in_train(table: EmbeddingTable) -> np.ndarray:
    """bool[N]: items outside training whose text or twin is in training.

    Twins count where the table is on a split that knows them; equal texts always do.
    """
    if table.met_in_train is not None:
        return table.met_in_train
    return text_met(table.text_key, table.split == "train")


def text_met(text_key: np.ndarray, train: np.ndarray) -> np.ndarray:
    """bool[N]: items outside `train` (bool[N]) with the text of one inside."""
    met: np.ndarray = ~train & (text_key != "") & np.isin(text_key, text_key[train])
    return met


def leak_sentence(table: EmbeddingTable, query_split: str = "test") -> str:
    """How many queries training has met, as every page says it."""
    queries = table.split == query_split
    met, asked = int((met_in_train(table) & queries).sum()), int(queries.sum())
    scores = ""
    if met:
        name = APART.removeprefix(", ")
        scores = f'; scores "{name}" are without them' if met < asked else "; no score is without them"
    return f"{met:,} of {asked:,} {query_split} items have their text or twin in train{scores}"
