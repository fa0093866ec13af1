"""What could be foreseen of the simulated market at best: oracles that know hidden wishes, tastes and utility.

They are yardsticks beside models, never models: hidden state comes from `Marketplace.simulate`, not from a data set.
"""

from typing import Self

import numpy as np

from twotower.data.sources.marketplace.calendar import DAY, START
from twotower.data.sources.marketplace.choice import Shelves, utility
from twotower.data.sources.marketplace.forecast import expected_looks
from twotower.data.sources.marketplace.source import Market
from twotower.errors import BadInput
from twotower.topk import top_k
from twotower.types import Array, Floats, Ids, Queries, TopK

BLOCK_CELLS = 4_000_000
"""Scores held at once: 16 MB."""


class MarketOracle:
    """Lists the ads, for sale at the moment of asking, that a user's sessions of the coming week likeliest end at.

    Each wish counts by its weight in that week. Its session opens one page of the wish's cell, on which an ad stands
    with probability 1 - (1 - q)^M for its share q of the cell's exposure and pages of M ads; the ad is then clicked
    with probability e^v / (e^v + (M - 1) m), v its utility and m the cell's mean of e^v by exposure (the page's appeal
    is put at its mean). Unknown to it are the true exposure, whims, the wish of each session and the noise of each
    choice: a strong yardstick, no bound.

    Args:
        market: with its hidden state.
        at: the moment of asking, seconds since the epoch.
        exposure: of each ad, relative. Shape [N].

    Raises:
        BadInput: the exposure is not one number per ad, or one is negative.
    """

    def __init__(self, market: Market, at: int, exposure: Array) -> None:
        if np.shape(exposure) != (len(market.ads),) or not (np.asarray(exposure) >= 0).all():
            raise BadInput(f"oracle: exposure must be {len(market.ads)} numbers of at least 0, one for each ad")
        self.market, self.at = market, at
        self.for_sale = market.ads.lifetimes.available(at)
        self.exposure = np.where(self.for_sale, exposure, 0.0).astype(np.float64)
        self.shelves = Shelves.of(market.rules, market.ads)
        self.log_price = _present_prices(market, at)

    @classmethod
    def ceiling(cls, market: Market, at: int) -> Self:
        """Exposure is foreseen from what is published: views, ages, prices."""
        return cls(market, at, expected_looks(market.dataset, at))

    @classmethod
    def flat(cls, market: Market, at: int) -> Self:
        """Every ad is shown alike: what knowledge of tastes alone is worth."""
        return cls(market, at, np.ones(len(market.ads)))

    def recommend(self, queries: Queries, k: int) -> TopK:
        """Ranked lists [B, k] of ads for sale, without excluded ones, ties by id."""
        answer, start = TopK.nothing(len(queries), k), 0
        for block in queries.blocks(max(1, BLOCK_CELLS // len(self.market.ads))):
            best = top_k(self.scores(block.users), k, block.exclusions, self.for_sale)
            rows = slice(start, start + len(block))
            answer.items[rows], answer.scores[rows] = best.items, best.scores
            start = rows.stop
        return answer

    def scores(self, users: Ids) -> Floats:
        """Chance that a session of each user in the week after the moment of asking ends at each ad. Shape [B, N]."""
        people, scores = self.market.people, np.zeros((len(users), len(self.market.ads)), np.float32)
        days = (self.at - START) / DAY + np.arange(7) + 0.5
        weights = [people.wish_weights(users, np.full(len(users), day)) for day in days]
        for row, (user, weight) in enumerate(zip(users, np.mean(weights, axis=0), strict=True)):
            if user < 0:  # unknown: nothing is known of tastes either
                continue
            for wish, way, share in zip(people.wish[user], people.search[user], weight, strict=True):
                cell = self.shelves.order[way][self.shelves.start[way, wish] : self.shelves.stop[way, wish]]
                cell = cell[self.exposure[cell] > 0]
                scores[row, cell] += share * self._clicks(user, wish, cell)
        return scores

    def _clicks(self, user: int, wish: int, cell: Array) -> Array:
        """Chance that a session of a user that follows a wish ends at each ad of the wish's cell. Shape [C]."""
        market, page = self.market, self.market.rules.page
        one, sought = np.array([user]), np.array([wish])
        value = utility(market.rules, market.ads, market.people, self.log_price, one, sought, cell[None])[0]
        appeal = np.exp(value.astype(np.float64))
        share = self.exposure[cell] / self.exposure[cell].sum()
        rivals = (page - 1) * (share * appeal).sum()
        return np.asarray(-np.expm1(page * np.log1p(-np.minimum(share, 1 - 1e-12))) * appeal / (appeal + rivals))


def _present_prices(market: Market, at: int) -> Floats:
    """Logarithm of each ad's price at a moment. Shape [N]."""
    price, versions = market.ads.traits[:, 0].copy(), market.dataset.versions
    if versions is not None:
        row = versions.latest(np.arange(len(price)), np.full(len(price), at))
        price[row >= 0] = np.log(np.asarray(versions.features["price"])[row[row >= 0]])
    return price
