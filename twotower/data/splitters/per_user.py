"""Splits along each user's own time line: the last n new items, or the last share of them."""

import numpy as np

from twotower.data.dataset import Dataset
from twotower.data.split import Split
from twotower.data.splitters.parts import assemble, check_shares, distinct_ranks, rounded
from twotower.errors import BadConfig
from twotower.types import Ids


class LeaveLast:
    """Each user's last `n` new items are the test, the `n` before them validation.

    A time line is cut where the user first touches an item, so repeats of known items stay on their side of the cut
    and never become targets. Users with fewer than 2n + 1 distinct items only train. Other users' training events
    may be newer than a target: this split measures next-item prediction, not forecasting.

    Args:
        n: targets per user in each part.
    """

    def __init__(self, *, n: int = 1) -> None:
        if n < 1:
            raise BadConfig(f"leave_last: n={n} must be at least 1")
        self.n = n

    @property
    def name(self) -> str:
        """E.g. "leave_last(n=1)"."""
        return f"leave_last(n={self.n})"

    def split(self, dataset: Dataset) -> Split:
        """Cuts every user's time line.

        Raises:
            BadInput: no user has enough distinct items.
        """
        rank, distinct = distinct_ranks(dataset.interactions)
        held = np.where(distinct > 2 * self.n, self.n, 0)
        return _cut(dataset, self.name, rank, distinct, held, held, f"no user has {2 * self.n + 1} distinct items")


class PerUserRatio:
    """The newest share of each user's distinct items is the test, the share before it validation.

    Shares are rounded half up per user and leave every user at least one training item; a user with few items may
    have no targets. Repeats are handled as in `LeaveLast`.

    Args:
        validation: share of a user's distinct items.
        test: share of a user's distinct items.
    """

    def __init__(self, *, validation: float = 0.1, test: float = 0.1) -> None:
        check_shares("per_user_ratio", validation=validation, test=test)
        self.validation, self.test = validation, test

    @property
    def name(self) -> str:
        """E.g. "per_user_ratio(validation=0.1, test=0.1)"."""
        return f"per_user_ratio(validation={self.validation:g}, test={self.test:g})"

    def split(self, dataset: Dataset) -> Split:
        """Cuts every user's time line.

        Raises:
            BadInput: no user has enough distinct items for a target.
        """
        rank, distinct = distinct_ranks(dataset.interactions)
        spare = np.maximum(distinct - 1, 0)
        n_test = np.minimum(rounded(self.test, distinct), spare)
        n_validation = np.minimum(rounded(self.validation, distinct), spare - n_test)
        return _cut(dataset, self.name, rank, distinct, n_validation, n_test, "give larger shares")


def _cut(dataset: Dataset, name: str, rank: Ids, distinct: Ids, n_validation: Ids, n_test: Ids, remedy: str) -> Split:
    """Cuts each user's events where `n_validation + n_test`, then `n_test` distinct items are still to come."""
    user = dataset.interactions.user
    in_test = rank > (distinct - n_test)[user]
    in_train = rank <= (distinct - n_test - n_validation)[user]
    return assemble(dataset, name, train=in_train, validation=~in_train & ~in_test, test=in_test, remedy=remedy)
