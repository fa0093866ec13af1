"""A small data set of ratings that biases and a product of vectors explain in part."""

import numpy as np
import pytest

from twotower.data.dataset import Dataset
from twotower.data.ids import IdMap
from twotower.data.interactions import Interactions
from twotower.data.split import Split
from twotower.data.splitters import RandomSplit
from twotower.data.tables import FeatureTable

RATERS, RATED = 60, 40


def rated_split() -> Split:
    """Some 1,400 ratings of 1 to 5 by 60 users of 40 items; the last two of either have none."""
    rng = np.random.default_rng(3)
    user, item = np.nonzero(rng.random((RATERS - 2, RATED - 2)) < 0.6)
    bias = 0.5 * rng.normal(size=RATERS)[user] + 0.7 * rng.normal(size=RATED)[item]
    taste = (rng.normal(size=(RATERS, 2))[user] * rng.normal(size=(RATED, 2))[item]).sum(axis=1)
    value = np.clip(np.rint(3.4 + bias + 0.6 * taste + 0.3 * rng.normal(size=len(user))), 1, 5)
    events = Interactions.of(user, item, rng.integers(0, 10_000, len(user)), value=value, n_users=RATERS, n_items=RATED)
    ids = IdMap.of(np.arange(RATERS), "user"), IdMap.of(np.arange(RATED), "item")
    dataset = Dataset("rated", events, FeatureTable.empty(RATERS), FeatureTable.empty(RATED), *ids)
    return RandomSplit(validation=0.15, test=0.15, seed=0).split(dataset)


@pytest.fixture(scope="session")
def rated() -> Split:
    """See `rated_split`."""
    return rated_split()
