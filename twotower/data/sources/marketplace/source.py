"""`Marketplace`: a simulated online vehicle market, the data set that needs no files.

The simulation is a discrete-choice one and shares nothing with the models that are trained on it:

1. Catalogue. Ads are drawn: the model fixes make, body and price level; age, mileage and equipment move the price;
   places scatter around cities. Each ad is listed and sold at some time, a fifth of them get cheaper on the way.
2. People. A user has a home, tastes for fuel, transmission and colour, a tolerance for price and for distance, and four
   wishes. A wish is an ad that the user dreams of, with a season: wishes come and go, so tastes drift.
3. Sessions. On a day a user follows one wish and searches by model, near home or by make. A page shows ads of the
   searched cell by exposure; the user clicks the one with the largest utility + Gumbel noise (a multinomial logit).
   Exposure rises for ads that lack viewers, which gives popularity its published skew.
4. Events. Users come back to what they like, look again, save it, print it, contact the seller.

How many pairs a user makes, how many viewers an ad is planned to get and how many events a week holds are set from the
published figures; who meets what is left to choice. `statistics` compares the outcome with the published market.
"""

from dataclasses import dataclass
from pathlib import Path
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
    "quarter": (25_000, 427_798, 1_533),
    "full": (100_000, 1_711_190, 3_066),
}
"""Users, items, models."""


LARGEST_AUDIENCE = 0.05
"""No ad is planned to interest more than this share of the users; matters at the small sizes only."""


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
        size: "demo", "small" (1/16), "quarter" or "full" (100,000 users × 1,711,190 items).
        seed: the same seed gives the same fingerprint, whatever the number of threads.
    """

    size: Literal["demo", "small", "quarter", "full"] = "demo"
    seed: int = 0

    def files(self) -> tuple[Path, ...]:
        """None: size and seed decide everything."""
        return ()

    def load(self) -> Dataset:
        """Simulates the market and returns what is published of it."""
        return self.simulate().dataset

    def simulate(self) -> Market:
        """Simulates the market; returns its hidden state too."""
        if self.size not in SIZES:
            raise BadConfig(f"marketplace: size {self.size!r} is unknown; choose one of {', '.join(SIZES)}")
        n_users, n_items, n_models = SIZES[self.size]
        supply, demand, browsing, telling = map(np.random.default_rng, np.random.SeedSequence(self.seed).spawn(4))
        ads = make_ads(n_items, n_models, supply)
        versions = price_drops(ads, supply)
        looks = planned_looks(n_users, demand)
        viewers = planned_viewers(ads, looks.sum() / n_items, LARGEST_AUDIENCE * n_users, demand)
        people = make_people(n_users, demand)
        find_wishes(ads, people, viewers, demand)
        slots = plan_sessions(people, looks, browsing)
        seen = Site(ads, people, versions, viewers).run(slots, browsing)
        seen = redirect_looks(ads, people, viewers, seen, browsing)
        events = event_log(seen, ads.lifetimes, looks[:, -1] > 0, telling)
        dataset = Dataset(
            f"marketplace-{self.size}",
            events,
            FeatureTable.empty(n_users),
            publish(ads, telling),
            IdMap.of(np.arange(1, n_users + 1), "user"),
            IdMap.of(np.arange(1, n_items + 1), "item"),
            versions=versions,
            lifetimes=ads.lifetimes,
            category="subcategory",
            title="model",
        )
        return Market(dataset, ads, people, viewers)
