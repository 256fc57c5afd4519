"""The endpoint on the small archive of support/served_archive.py."""

import pytest


@pytest.fixture(autouse=True)
def _own_cache(cache):
    """Every test has a cache folder of its own."""
