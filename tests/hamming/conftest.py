import pytest

from mcmfh.hamming import multi_index


@pytest.fixture(autouse=True)
def _tables_for_small_archives(monkeypatch):
    """Archives of a test are small; let the multi-index be built for them all the same."""
    monkeypatch.setattr(multi_index, "LEAST_ROWS", 300)
