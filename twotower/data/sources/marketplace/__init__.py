"""A simulated vehicle market: a discrete-choice simulation with the published market's schema and shape."""

from twotower.data.sources.marketplace.oracle import MarketOracle
from twotower.data.sources.marketplace.source import Market, Marketplace
from twotower.data.sources.marketplace.statistics import PUBLISHED, comparison, scaled, statistics

__all__ = ["PUBLISHED", "Market", "MarketOracle", "Marketplace", "comparison", "scaled", "statistics"]
