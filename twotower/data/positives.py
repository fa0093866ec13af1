"""Which events count as positives: a floor under the value, and a choice of event kinds."""

from collections.abc import Sequence

import numpy as np

from twotower.data.dataset import Dataset
from twotower.errors import BadConfig, BadInput


def select_positives(dataset: Dataset, min_value: float | None = None, kinds: Sequence[str] | None = None) -> Dataset:
    """The same users and catalogue with the positive events only.

    Args:
        dataset: all events.
        min_value: smallest value of a positive, e.g. 4 of 5 stars; None: any.
        kinds: event kinds that count, e.g. ("save", "contact"); None: all.

    Raises:
        BadConfig: a kind does not occur in the data set.
        BadInput: no event is positive.
    """
    events = dataset.interactions
    keep = np.ones(len(events), np.bool_)
    if min_value is not None:
        keep &= events.value >= min_value
    if kinds is not None:
        for kind in kinds:
            if kind not in events.kinds:
                raise BadConfig(f"positives.kinds: no events of kind {kind!r}; there are {', '.join(events.kinds)}")
        keep &= np.isin(events.kind, [events.kinds.index(kind) for kind in kinds])
    if not keep.any():
        raise BadInput(
            f"{dataset.name}: none of {len(events):,} events is positive with min_value={min_value}, kinds={kinds}; "
            f"values run from {events.value.min():g} to {events.value.max():g}"
        )
    return dataset if keep.all() else dataset.with_interactions(events.where(keep))
