"""`fitted`: fits a model on a data set so that it goes live; what `model.fit(dataset)` does."""

from twotower.data.dataset import Dataset
from twotower.data.splitters.newest import all_events, newest_validates
from twotower.errors import BadInput
from twotower.models.base import Model
from twotower.runs.fitted_model import FittedModel
from twotower.training.context import QUIET, FitContext

VALIDATION = 0.1
"""Share of the events, the newest, by which models that can stop early or choose weights do so."""


def fitted(
    model: Model, dataset: Dataset, context: FitContext = QUIET, *, validation: float | None = VALIDATION
) -> FittedModel:
    """Fits a model so that it goes live: it learns from all events. What `model.fit(dataset)` does.

    A model that can stop early, or chooses weights, first learns from the older events and watches the newest; then it
    learns from all events, for as many epochs as were best. The others learn from all events at once; so does
    `TwoTower(epochs=3)`, which is through before its patience ends.

    Args:
        model: its options; itself it may stay unfitted.
        dataset: what to learn from.
        context: how and where; `FitContext(progress=True)` tells how it goes.
        validation: share of the events, the newest, to watch; None: none, so that a model runs all its epochs.

    Raises:
        BadInput: there is nothing to learn from.
        BadConfig: validation is not between 0 and 1.
    """
    if not len(dataset.interactions):
        raise BadInput(f"{dataset.name}: no events to learn from")
    watched = None if validation is None else newest_validates(dataset, validation)
    split = watched if model.uses_validation else None
    if split is None:
        split = all_events(dataset)
        return FittedModel.of(model.fit(split, context), split)
    if model.refits:
        return FittedModel.of(model.fit_for_test(split, context), split)
    model.fit(split, context.inside("search"))
    return FittedModel.of(model.again(split.refit(), context), split)
