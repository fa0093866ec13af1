"""Shared by the tests of the simulated market: one demo market with its hidden state."""

import pytest

from twotower.data.sources.marketplace import Market, Marketplace


@pytest.fixture(scope="package")
def market() -> Market:
    return Marketplace(size="demo").simulate()
