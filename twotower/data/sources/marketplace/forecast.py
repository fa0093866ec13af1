"""How often each ad will be looked at in the coming week, foreseen from what the market publishes."""

from typing import cast

import numpy as np

from twotower.data.dataset import Dataset
from twotower.data.sources.marketplace.calendar import DAY, WEEK
from twotower.data.tables import Categories
from twotower.errors import BadInput
from twotower.types import Array, Floats

WINDOWS = (1, 3, 7, 14, 35)
"""Days back from the moment of asking in which looks are counted."""


def expected_looks(dataset: Dataset, at: int) -> Floats:
    """First looks that each ad for sale at a moment will draw in the week after it; 0 for the others.

    Boosted trees with Poisson loss learn from the week before the moment: features as of its beginning, looks in it.

    Args:
        dataset: a market with lifetimes; events after `at` are not read.
        at: the moment of asking, seconds since the epoch, at least a week after the first event.

    Returns:
        Shape [N].

    Raises:
        BadInput: the data set has no lifetimes, or less than a week of events before the moment.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor  # takes a second to load

    if dataset.lifetimes is None:
        raise BadInput(f"{dataset.name}: exposure can be foreseen for ads with lifetimes only")
    looks = dataset.interactions.where(dataset.interactions.time < at).unique_pairs()
    if not len(looks) or looks.time.min() > at - WEEK:
        raise BadInput(f"{dataset.name}: there is less than a week of events before {at}; choose a later moment")
    before, now = dataset.lifetimes.available(at - WEEK), dataset.lifetimes.available(at)
    past = looks.where(looks.time < at - WEEK)
    lately = np.bincount(looks.item[looks.time >= at - WEEK], minlength=dataset.n_items)
    trees = HistGradientBoostingRegressor(loss="poisson", random_state=0, early_stopping=False)
    trees.fit(_features(dataset, past.item, past.time, at - WEEK)[before], lately[before])
    expected = np.zeros(dataset.n_items, np.float32)
    expected[now] = trees.predict(_features(dataset, looks.item, looks.time, at)[now])
    return expected


def _features(dataset: Dataset, item: Array, time: Array, at: int) -> Floats:
    """Looks in several windows, those of the model and the body in a week, days since listing, price. Shape [N, 9]."""
    assert dataset.lifetimes is not None
    counts = [np.bincount(item[time >= at - days * DAY], minlength=dataset.n_items) for days in WINDOWS]
    week = counts[WINDOWS.index(7)]
    columns = [*counts, (at - dataset.lifetimes.since) / DAY, np.log(np.asarray(dataset.items_at(at)["price"]))]
    for name in ("model", "subcategory"):
        codes = cast(Categories, dataset.items[name]).codes
        looks, ads = np.bincount(codes, week), np.bincount(codes, dataset.lifetimes.available(at))
        columns.append((looks / np.maximum(ads, 1))[codes])
    return np.stack(columns, axis=1).astype(np.float32)
