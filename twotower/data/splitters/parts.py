"""What all splits share: the contract, ranks of distinct items, and making a checked `Split` of chosen events."""

from typing import Protocol

import numpy as np

from twotower.data.dataset import Dataset
from twotower.data.interactions import Interactions
from twotower.data.split import Holdout, Split
from twotower.errors import BadConfig, BadInput
from twotower.types import Bools, Ids


class Splitter(Protocol):
    """Anything that cuts a data set into train, validation and test."""

    @property
    def name(self) -> str:
        """How the split is made, with its options; goes into `Split.name` and every report."""
        ...

    def split(self, dataset: Dataset) -> Split:
        """The three parts, checked for leaks."""
        ...


def assemble(
    dataset: Dataset,
    name: str,
    *,
    train: Bools,
    validation: Bools,
    test: Bools,
    shown_in_validation: Bools | None = None,
    shown_in_test: Bools | None = None,
    asked_at: tuple[int, int] | None = None,
    ordered_by_time: bool = True,
    remedy: str,
) -> Split:
    """Masks over the events become a `Split`.

    Args:
        dataset: where the events are.
        name: the split's name.
        train: events to learn from. Shape [E].
        validation: events to foresee while tuning. Shape [E].
        test: events to foresee in the end. Shape [E].
        shown_in_validation: history at validation; None: the training events. Shape [E].
        shown_in_test: history at test; None: training and validation events. Shape [E].
        asked_at: moments of asking of validation and test; None: the newest moment of each history.
        ordered_by_time: whether each user's targets must be newer than the history.
        remedy: what to change when a part is empty.

    Raises:
        BadInput: a part holds no event, or no target that is new to its user.
        LeakError: the masks let a target into what is known.
    """
    events = dataset.interactions
    learnt = events.where(train)
    before_validation = learnt if shown_in_validation is None else events.where(shown_in_validation)
    before_test = events.where(train | validation if shown_in_test is None else shown_in_test)
    if not len(learnt):
        raise BadInput(f"split {name} of {dataset.name}: no training events; {remedy}")
    at = asked_at or (int(before_validation.time.max()), int(before_test.time.max()))
    held_out = (
        Holdout.of(before_validation, events.where(validation), at[0], available_at(dataset, asked_at and at[0])),
        Holdout.of(before_test, events.where(test), at[1], available_at(dataset, asked_at and at[1])),
    )
    for part, holdout, mask in zip(("validation", "test"), held_out, (validation, test), strict=True):
        if not len(holdout.target):
            why = "all its pairs are already known" if mask.any() else "no event falls into it"
            raise BadInput(f"split {name} of {dataset.name}: the {part} part is empty ({why}); {remedy}")
    return Split(dataset, learnt, *held_out, name, ordered_by_time)


def available_at(dataset: Dataset, moment: int | None) -> Bools | None:
    """Items for sale at a moment that is the same for all; None where there is no such moment or nobody knows. [N]."""
    return None if moment is None or dataset.lifetimes is None else dataset.lifetimes.available(moment)


def distinct_ranks(events: Interactions) -> tuple[Ids, Ids]:
    """How many different items a user has touched up to and including each event, and in all.

    Cutting a user's events at a rank cuts them in time, and each rank stands for exactly one new pair.

    Returns:
        Rank of each event, from 1; a repeat has the rank of the event before it. Shape [E].
        Distinct items of every user. Shape [n_users].
    """
    first = np.zeros(len(events), np.int64)
    first[np.unique(events.pair_keys(), return_index=True)[1]] = 1
    running: Ids = np.concatenate([[0], np.cumsum(first)])
    offsets = events.offsets
    rank = running[1:] - np.repeat(running[offsets[:-1]], np.diff(offsets))
    return rank, running[offsets[1:]] - running[offsets[:-1]]


def check_shares(name: str, **shares: float) -> None:
    """Refuses shares outside (0, 1), or which leave nothing to learn from."""
    for option, share in shares.items():
        if not 0 < share < 1:
            raise BadConfig(f"{name}: {option}={share} must lie between 0 and 1")
    if sum(shares.values()) >= 1:
        total = " + ".join(f"{option}={share}" for option, share in shares.items())
        raise BadConfig(f"{name}: {total} leaves nothing for train; make them smaller")


def rounded(share: float, counts: Ids) -> Ids:
    """`share` of each count, rounded half up. Shape as `counts`."""
    return np.asarray(np.floor(counts * share + 0.5), np.int64)
