"""`Rules`: all that differs between the versions of the simulated market, in one place."""

from collections.abc import Mapping
from dataclasses import dataclass

Curve = tuple[tuple[float, float], ...]
"""A law given by points: (quantile, value)."""
DEMO_ITEMS = 26_737
"""Ads of the smallest market."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What an ad's likeness to the wish is worth, in units of the choice noise.

    Attributes:
        model: the wished model.
        make: the wished make.
        body: the wished body.
        age: minus a year of difference, up to twelve years.
        mileage: minus 50,000 km of difference, up to 200,000 km.
    """

    model: float = 0.6
    make: float = 0.5
    body: float = 1.5
    age: float = 0.4
    mileage: float = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """By which a market works; the defaults are those of version 2.

    Attributes:
        stock_share: share of the ads that are already listed when the window opens; the others appear during it.
        viewers_per_ad: planned viewers of an ad over all five weeks, by the rank of its attention and its bargain.
        bargain_weight: what a price one standard deviation below the usual adds to that rank, beside log attention.
        rank_noise: standard deviation of what else decides the rank.
        largest_audience: no ad is planned to interest more than this share of the users; matters at small sizes only.
        feedback: share of the viewers so far that is taken off an ad's exposure; 1 drives every ad to its plan.
        attention_floor: attention to an old ad, relative to a new one; 1: attention does not fall with age.
        attention_days: after these days what lies above the floor has fallen to 1/e.
        n_wishes: wishes of a user.
        wishes_by_demand: wished ads are drawn by planned viewers; otherwise all alike.
        whim_share: share of sessions that follow none of the user's wishes, but an ad drawn from all.
        search_shares: share of wishes searched by model, near home, make and body, body and price band.
        page: ads on a page of search results.
        price_bands: bands of equally many ads that prices are searched by, in the smallest market.
        band_growth: the bands multiply by this power of the market's size.
        worth: of likeness to the wish.
        fuel: standard deviation of tastes for fuels.
        transmission: that of tastes for transmissions.
        colour: that of tastes for colours.
        price_width: lowest and highest tolerated deviation from the wished price, natural logarithm.
        travel: scale of the dislike of distance.
        late_looks: an overlooked ad may take its look in the test week although it was listed before.
    """

    stock_share: float = 0.58
    viewers_per_ad: Curve = (
        (0.25, 0.4), (0.5, 0.65), (0.6, 1.5), (0.67, 9.5), (0.92, 12), (0.99, 42), (0.9999, 300), (1 - 3e-7, 3000),
    )  # fmt: skip
    bargain_weight: float = 0.7
    rank_noise: float = 0.3
    largest_audience: float = 0.1
    feedback: float = 0.25
    attention_floor: float = 0.12
    attention_days: float = 4.0
    n_wishes: int = 6
    wishes_by_demand: bool = False
    whim_share: float = 0.3
    search_shares: tuple[float, float, float, float] = (0.1, 0.3, 0.1, 0.5)
    page: int = 36
    price_bands: int = 3
    band_growth: float = 0.5
    worth: Worth = Worth()
    fuel: float = 1.6
    transmission: float = 1.3
    colour: float = 1.0
    price_width: tuple[float, float] = (0.08, 0.35)
    travel: float = 0.8
    late_looks: bool = False

    def bands(self, n_items: int) -> int:
        """Price bands of a market with so many ads: people narrow a search where there is more to choose from."""
        bands: int = round(self.price_bands * (n_items / DEMO_ITEMS) ** self.band_growth)
        return bands


VERSIONS: Mapping[int, Rules] = {
    1: Rules(
        viewers_per_ad=((1e-7, 0.6), (0.25, 0.75), (0.5, 1.15), (0.66, 2.2), (0.74, 6.6), (0.9, 10.4), (0.99, 39),
                        (0.9999, 230), (1 - 3e-7, 6000)),
        bargain_weight=0.0,
        rank_noise=0.8,
        largest_audience=0.05,
        feedback=1.0,
        attention_floor=1.0,
        n_wishes=4,
        wishes_by_demand=True,
        whim_share=0.0,
        search_shares=(0.5, 0.3, 0.2, 0.0),
        page=18,
        price_bands=6,
        band_growth=0.0,
        worth=Worth(model=1.5, make=0.8, age=0.25, mileage=0.0),
        fuel=1.2,
        transmission=1.0,
        colour=0.7,
        price_width=(0.12, 0.5),
        travel=0.45,
        late_looks=True,
    ),
    2: Rules(),
}  # fmt: skip
"""Version 1 gives every ad the viewers that were planned for it; in version 2 they depend on whom it suits."""
