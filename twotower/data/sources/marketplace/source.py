"""`Marketplace`: a simulated online vehicle market, the data set that needs no files."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from twotower.data.dataset import Dataset
from twotower.data.ids import IdMap
from twotower.data.sources.marketplace.catalogue import Ads, make_ads, price_drops, publish
from twotower.data.sources.marketplace.choice import find_wishes
from twotower.data.sources.marketplace.events import event_log
from twotower.data.sources.marketplace.overlooked import redirect_looks
from twotower.data.sources.marketplace.people import People, make_people, planned_looks
from twotower.data.sources.marketplace.sessions import plan_sessions
from twotower.data.sources.marketplace.site import Site, planned_viewers
from twotower.data.tables import FeatureTable
from twotower.errors import BadConfig
from twotower.types import Floats

SIZES: dict[str, tuple[int, int, int]] = {
    "demo": (1_562, 26_737, 380),
    "small": (6_250, 106_949, 760),
    "full": (100_000, 1_711_190, 3_066),
}
"""Users, items, models."""


@dataclass(frozen=True, slots=True, eq=False)
class Market:
    """A simulated market with the hidden state that made it; for oracles in tests, not for models.

    Attributes:
        dataset: what is published.
        ads: true attributes of the ads.
        people: hidden tastes and wishes.
        viewers: planned viewers of each ad. Shape [N].
    """

    dataset: Dataset
    ads: Ads
    people: People
    viewers: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Marketplace:
    """The simulated market as a data source.

    Attributes:
        size: "demo", "small" or "full" (100,000 users × 1,711,190 items).
        seed: the same seed gives the same fingerprint, whatever the number of threads.
    """

    size: Literal["demo", "small", "full"] = "demo"
    seed: int = 0

    def load(self) -> Dataset:
        """Simulates the market and returns what is published of it."""
        return self.simulate().dataset

    def simulate(self) -> Market:
        """Simulates the market; returns its hidden state too."""
        if self.size not in SIZES:
            raise BadConfig(f"marketplace: size {self.size!r} is unknown; choose one of {', '.join(SIZES)}")
        n_users, n_items, n_models = SIZES[self.size]
        chance = np.random.SeedSequence(self.seed).spawn(7)
        rngs = [np.random.default_rng(c) for c in chance]
        ads = make_ads(n_items, n_models, rngs[0])
        versions = price_drops(ads, rngs[1])
        looks = planned_looks(n_users, rngs[2])
        viewers = planned_viewers(ads, looks.sum() / n_items, rngs[3])
        people = make_people(n_users, rngs[4])
        find_wishes(ads, people, viewers, rngs[4])
        slots = plan_sessions(people, looks, rngs[4])
        found = Site(ads, people, versions, viewers).run(slots, rngs[5])
        found = redirect_looks(ads, people, viewers, found, rngs[5])
        events = event_log(found, ads.lifetimes, looks[:, -1] > 0, rngs[5])
        dataset = Dataset(
            f"marketplace-{self.size}",
            events,
            FeatureTable.empty(n_users),
            publish(ads, rngs[6]),
            IdMap.of(np.arange(1, n_users + 1), "user"),
            IdMap.of(np.arange(1, n_items + 1), "item"),
            versions=versions,
            lifetimes=ads.lifetimes,
            category="subcategory",
            title="model",
        )
        return Market(dataset, ads, people, viewers)
