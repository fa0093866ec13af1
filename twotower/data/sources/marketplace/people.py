"""The simulated users: how much they look at, and the hidden tastes, budgets and wishes that make them choose."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from twotower.data.sources.marketplace import names
from twotower.data.sources.marketplace.calendar import N_WEEKS
from twotower.data.sources.marketplace.rules import Curve, Rules
from twotower.types import Array, Floats, Ids

PAIRS_PER_USER = ((1e-6, 1), (0.05, 3), (0.25, 11), (0.5, 30), (0.75, 75), (0.9, 159), (0.99, 490), (0.9999, 2200),
                  (1 - 5e-6, 5235))  # fmt: skip
"""Unique pairs of a user in the training weeks: (quantile, value)."""
NEW_PAIRS_PER_TEST_USER = ((1e-6, 1), (0.05, 1), (0.25, 2.9), (0.5, 8.3), (0.75, 23.5), (0.9, 55), (0.99, 175),
                           (0.9999, 600), (1 - 7e-6, 950))  # fmt: skip
"""Pairs of an active user in the test week that the training weeks do not have."""
WEEK_SHARES = np.array([1.83, 1.65, 1.63, 1.36]) / 6.47
"""Shares of the training weeks in first looks at an ad; later weeks have more second looks instead."""
ACTIVE_IN_TEST = 0.6587
COLD_SHARE = 0.00142
SEARCHES = ("model", "near home", "make and body", "body and price")
EXAMPLE_USER = 41
"""Internal id of external user 42, who is active in the training and the test weeks at every size."""


def quantile_curve(points: Curve, p: Array) -> Array:
    """Values at quantiles p of a law given by points, log-linear between them over normal scores."""
    at, value = np.array(points).T
    return np.asarray(np.exp(np.interp(ndtri(p), ndtri(at), np.log(value))))


def shuffled_quantiles(n: int, rng: np.random.Generator) -> Array:
    """The n mid-quantiles (i + 1/2)/n in random order: a sample without sampling error."""
    return (rng.permutation(n) + 0.5) / n


def planned_looks(n_users: int, rng: np.random.Generator) -> Ids:
    """New pairs of every user in every week: who looks at much in training is likelier to return. Shape [U, 5]."""
    quantile = shuffled_quantiles(n_users, rng)
    median = int(np.abs(quantile - 0.55).argmin())
    quantile[[EXAMPLE_USER, median]] = quantile[[median, EXAMPLE_USER]]
    zeal = 0.6 * ndtri(quantile) + rng.normal(0, 1, n_users)
    zeal[EXAMPLE_USER] = np.inf
    active = np.argsort(-zeal)[: round(ACTIVE_IN_TEST * n_users)]
    in_training = np.maximum(1, np.round(quantile_curve(PAIRS_PER_USER, quantile))).astype(np.int64)
    in_training[active[-max(1, round(COLD_SHARE * n_users)) :]] = 0
    pull = rng.gamma(2.0, WEEK_SHARES / 2.0, (n_users, 4)) + 1e-6
    weeks = rng.multinomial(in_training, pull / pull.sum(axis=1, keepdims=True))
    rank = np.argsort(np.argsort(0.8 * ndtri(quantile[active]) + 0.6 * rng.normal(0, 1, len(active))))
    in_test = np.zeros(n_users, np.int64)
    curve = quantile_curve(NEW_PAIRS_PER_TEST_USER, (rank + 0.5) / len(active))
    in_test[active] = np.maximum(1, np.round(curve))
    return np.column_stack([weeks, in_test])


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """Hidden state of every user. U rows; never published.

    Attributes:
        place: latitude and longitude of the home, float32. Shape [U, 2].
        fuel: taste for each fuel, float32, in units of the choice noise. Shape [U, 10].
        transmission: taste for each transmission. Shape [U, 3].
        colour: taste for each colour. Shape [U, 16].
        price_width: tolerated deviation from the wished price, natural logarithm. Shape [U].
        travel: dislike of distance. Shape [U].
        wish: the ad that stands for each wish: its model, body, age and price are what is sought. Shape [U, K].
        search: how each wish is searched for, position in `SEARCHES`. Shape [U, K].
        strength: weight of each wish at its best time. Shape [U, K].
        season: best time of each wish, in days of the window. Shape [U, K].
        stretch: how long a wish lasts, days. Shape [U, K].
    """

    place: Floats
    fuel: Floats
    transmission: Floats
    colour: Floats
    price_width: Floats
    travel: Floats
    wish: Ids
    search: Ids
    strength: Floats
    season: Floats
    stretch: Floats

    def __len__(self) -> int:
        return len(self.place)

    def wish_weights(self, users: Array, day: Array) -> Floats:
        """How likely a session on a day follows each wish: tastes drift as wishes come and go. Shape [n, K]."""
        away = (np.asarray(day, np.float32)[:, None] - self.season[users]) / self.stretch[users]
        weight = self.strength[users] * (np.exp(-0.5 * away**2) + np.float32(0.02))
        return np.asarray(weight / weight.sum(axis=1, keepdims=True), np.float32)


def make_people(n_users: int, rules: Rules, rng: np.random.Generator) -> People:
    """Draws homes, tastes and the times of wishes; what is wished for follows in `choice.find_wishes`."""
    _, latitude, longitude, share = names.cities()
    city = rng.choice(len(share), n_users, p=share)
    scatter = rng.laplace(0, 0.22, (n_users, 2)) * [1.0, 1.5]
    place = np.stack([latitude[city], longitude[city]], axis=1) + scatter
    shape = (n_users, rules.n_wishes)

    def tastes(n: int, scale: float) -> Floats:
        return rng.normal(0, scale, (n_users, n)).astype(np.float32)

    return People(
        place=place.astype(np.float32),
        fuel=tastes(len(names.FUELS), rules.fuel),
        transmission=tastes(len(names.TRANSMISSIONS), rules.transmission),
        colour=tastes(len(names.COLOURS), rules.colour),
        price_width=rng.uniform(*rules.price_width, n_users).astype(np.float32),
        travel=rng.gamma(2.0, rules.travel, n_users).astype(np.float32),
        wish=np.zeros(shape, np.int64),
        search=rng.choice(len(SEARCHES), shape, p=rules.search_shares),
        strength=rng.gamma(0.8, 1.0, shape).astype(np.float32) + np.float32(0.02),
        season=rng.uniform(-7, 7 * N_WEEKS + 7, shape).astype(np.float32),
        stretch=rng.uniform(5, 20, shape).astype(np.float32),
    )
