"""Fixtures and settings shared by all tests."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("steady", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("steady")


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with public data sets; tests that need it are skipped where it is absent."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    root = Path(os.environ.get("TWOTOWER_DATA", beside))
    if not root.is_dir():
        pytest.skip(f"no public data sets in {root}; set TWOTOWER_DATA")
    return root
