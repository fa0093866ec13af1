"""Splits for a model that goes live: all events are learnt in the end, and nothing is left to foresee."""

import numpy as np

from twotower.data.dataset import Dataset
from twotower.data.split import Holdout, Split
from twotower.data.splitters.parts import available_at
from twotower.errors import BadConfig


def all_events(dataset: Dataset) -> Split:
    """All events as train and as what is known when asked."""
    events = dataset.interactions
    return Split(dataset, events, _nothing(dataset), _nothing(dataset), "all events")


def newest_validates(dataset: Dataset, share: float) -> Split | None:
    """The newest share of the events is validation, the older ones train, and no test is asked for.

    `Split.refit` of it is all events of users who are in train or validation.

    Returns:
        None if the events do not spread over time, or hold no new pair in that share.

    Raises:
        BadConfig: the share is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise BadConfig(f"validation={share} must lie between 0 and 1, or be None to learn from all events at once")
    events, time = dataset.interactions, np.sort(dataset.interactions.time)
    cut = int(time[min(int(np.ceil(len(time) * (1 - share))), len(time) - 1)])
    if cut == time[0]:
        return None
    older = events.where(events.time < cut)
    validation = Holdout.of(older, events.where(events.time >= cut), cut, available_at(dataset, cut))
    if not len(validation.target):
        return None
    return Split(dataset, older, validation, _nothing(dataset), f"newest {share:g} validates, then all events")


def _nothing(dataset: Dataset) -> Holdout:
    events = dataset.interactions
    return Holdout(events, events.where(np.empty(0, np.int64)), int(events.time.max()) + 1)
