"""`Marketplace`: a simulated online vehicle market, the data set that needs no files.

The simulation is a discrete-choice one and shares nothing with the models that are trained on it:

1. Catalogue. Ads are drawn: the model fixes make, body and price level; age, mileage and equipment move the price;
   places scatter around cities. Each ad is listed and sold at some time, a fifth of them get cheaper on the way.
2. People. A user has a home, tastes for fuel, transmission and colour, a tolerance for price and for distance, and some
   wishes. A wish is an ad that the user dreams of, with a season: wishes come and go, so tastes drift.
3. Sessions. On a day a user follows one wish, or a whim, and searches by model, near home, by make or by price. A page
   shows ads of the searched cell by exposure; the user clicks the one with the largest utility + Gumbel noise (a
   multinomial logit).
   Exposure goes to ads that are planned to interest many, less to old ones, and falls with the viewers they have had.
4. Events. Users come back to what they like, look again, save it, print it, contact the seller.

How many pairs a user makes, how many viewers an ad is planned to get and how many events a week holds are set from the
published figures; who meets what is left to choice. `statistics` compares the outcome with the published market.
What differs between the versions of the market is in `rules`.
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
from twotower.data.sources.marketplace.rules import VERSIONS, Rules
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


@dataclass(frozen=True, slots=True, eq=False)
class Market:
    """A simulated market with the hidden state that made it; for oracles in tests, not for models.

    Attributes:
        dataset: what is published.
        ads: true attributes of the ads.
        people: hidden tastes and wishes.
        viewers: planned viewers of each ad. Shape [N].
        rules: by which it works.
    """

    dataset: Dataset
    ads: Ads
    people: People
    viewers: Floats
    rules: Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Marketplace:
    """The simulated market as a data source.

    Attributes:
        size: "demo", "small" (1/16), "quarter" or "full" (100,000 users × 1,711,190 items).
        seed: the same seed gives the same fingerprint, whatever the number of threads.
        version: of the rules; 1 is the market as it was before, which identities alone foresee well.
    """

    size: Literal["demo", "small", "quarter", "full"] = "demo"
    seed: int = 0
    version: Literal[1, 2] = 2

    def files(self) -> tuple[Path, ...]:
        """None: size, seed and version decide everything."""
        return ()

    def load(self) -> Dataset:
        """Simulates the market and returns what is published of it."""
        return self.simulate().dataset

    def simulate(self) -> Market:
        """Simulates the market; returns its hidden state too.

        Raises:
            BadConfig: an unknown size or version.
        """
        if self.size not in SIZES:
            raise BadConfig(f"marketplace: size {self.size!r} is unknown; choose one of {', '.join(SIZES)}")
        if self.version not in VERSIONS:
            raise BadConfig(
                f"marketplace: version {self.version!r} is unknown; choose one of {', '.join(map(str, VERSIONS))}"
            )
        name = f"marketplace-{self.size}" + (f"-v{self.version}" if self.version > 1 else "")
        return simulated(name, *SIZES[self.size], VERSIONS[self.version], self.seed)


def simulated(name: str, n_users: int, n_items: int, n_models: int, rules: Rules, seed: int) -> Market:
    """A market of any size by any rules.

    Args:
        name: of the data set.
        n_users: users.
        n_items: ads.
        n_models: models on sale.
        rules: by which it works.
        seed: of all chance.
    """
    supply, demand, browsing, telling = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(4))
    ads = make_ads(n_items, n_models, rules.stock_share, supply)
    versions = price_drops(ads, supply)
    looks = planned_looks(n_users, demand)
    viewers = planned_viewers(rules, ads, looks.sum() / n_items, rules.largest_audience * n_users, demand)
    people = make_people(n_users, rules, demand)
    find_wishes(rules, ads, people, viewers, demand)
    slots = plan_sessions(rules, n_items, people, looks, browsing)
    seen = Site(rules, ads, people, versions, viewers).run(slots, browsing)
    seen = redirect_looks(rules, ads, people, viewers, seen, browsing)
    events = event_log(seen, ads.lifetimes, looks[:, -1] > 0, telling)
    dataset = Dataset(
        name,
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
    return Market(dataset, ads, people, viewers, rules)
