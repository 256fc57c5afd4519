"""One thread a test, one planted table for all."""

import pytest
import torch
from support.planted import planted_table

from mcmfh.embeddings.table import EmbeddingTable


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def table() -> EmbeddingTable:
    return planted_table()
