"""Splits whose test cannot be reached, for everything that happens before the final figures."""

from dataclasses import fields, replace
from typing import Self

import numpy as np

from twotower.data.interactions import Interactions
from twotower.data.split import FinalSplit, Holdout, Split
from twotower.errors import LeakError


class BlindSplit(Split):
    """Looks like a `Split`, but asking for its test is an error, and its data set holds no test events.

    Models are tuned on this, so that no option can depend on the test.
    """

    __slots__ = ()

    @classmethod
    def of(cls, split: Split) -> Self:
        """Hides the test of a split; train and validation stay as they are."""
        known = split.refit().train
        parts = {field.name: getattr(split, field.name) for field in fields(Split) if field.name != "test"}
        parts["dataset"] = split.dataset.with_interactions(known)
        blind = object.__new__(cls)  # the parts were checked when `split` was made, and there is no test to check
        for name, value in parts.items():
            object.__setattr__(blind, name, value)
        return blind

    def __repr__(self) -> str:
        """Without the test, which is closed."""
        return f"<BlindSplit {self.name} of {self.dataset.name}: {len(self.train):,} train, the test is closed>"

    @property
    def test(self) -> Holdout:
        """Never there.

        Raises:
            LeakError: always.
        """
        raise LeakError(f"split {self.name}: the test is closed while models are tuned; use validation")

    @property
    def ready_for(self) -> Holdout:
        """The validation part, which is all that can be asked."""
        return self.validation

    def refit(self) -> Split:
        """Never there either: only the owner of the test can join train and validation.

        Raises:
            LeakError: always.
        """
        raise LeakError(f"split {self.name}: refit belongs to the full split, after tuning")


def blind_final(split: Split) -> FinalSplit:
    """Train and validation joined for the last fit; of the test only the moment of asking is left.

    Its test has no targets, its histories hold what is learnt anyway, and the data set holds no test events.
    """
    final = split.refit()
    return FinalSplit(
        split.dataset.with_interactions(final.train),
        final.train,
        final.validation,
        _without_targets(final.test, final.train),
        final.name,
        final.ordered_by_time,
    )


def blind_watched(split: Split) -> Split:
    """The split as it is for a last fit that still watches validation; its test has histories and no targets."""
    known = split.refit().train
    test = _without_targets(split.test, split.test.history)
    return replace(split, dataset=split.dataset.with_interactions(known), test=test)


def _without_targets(test: Holdout, history: Interactions) -> Holdout:
    return Holdout(history, test.target.where(np.empty(0, np.int64)), test.at, available=test.available)
