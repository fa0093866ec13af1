"""`SampledNegatives`: any split, with each user's targets among a few drawn items instead of the full catalogue."""

from dataclasses import replace

import numpy as np

from twotower.data.dataset import Dataset
from twotower.data.split import Holdout, Split
from twotower.data.splitters.parts import Splitter
from twotower.data.splitters.rolling import refuse_rolling
from twotower.errors import BadConfig, BadInput
from twotower.types import Bools, Ids, Ragged


class SampledNegatives:
    """Each user's targets compete with `n` items that the user has not touched, drawn evenly.

    Figures come out far larger than over the full catalogue and order models differently, so reports mark them and
    refuse to set them beside others; take this for comparison with papers that sample. What is drawn for validation
    depends on nothing that happens later, and a user's sample does not depend on the other users.

    Args:
        split: how the events are cut, such as `LeaveLast(n=1)`.
        n: negatives of each user.
        seed: of the draw.

    Source: He et al., Neural Collaborative Filtering, WWW 2017, section 4.1; against the habit: Krichene and Rendle,
    On Sampled Metrics for Item Recommendation, KDD 2020.
    """

    def __init__(self, *, split: Splitter, n: int = 99, seed: int = 0) -> None:
        if n < 1:
            raise BadConfig(f"sampled: n={n} must be at least 1 negative")
        self.inner, self.n, self.seed = split, n, seed

    @property
    def name(self) -> str:
        """E.g. "sampled(leave_last(n=1), n=99, seed=0)"."""
        return f"sampled({self.inner.name}, n={self.n}, seed={self.seed})"

    def split(self, dataset: Dataset) -> Split:
        """Cuts, then draws.

        Raises:
            BadInput: a user has touched so many items that fewer than `n` are left, or the test is a rolling one.
        """
        cut = self.inner.split(dataset)
        refuse_rolling(cut, self.name)
        validation, test = (
            with_negatives(part, self.n, (self.seed, number), where=f"split {self.name} of {dataset.name}")
            for number, part in enumerate((cut.validation, cut.test))
        )
        return Split(dataset, cut.train, validation, test, self.name, cut.ordered_by_time)


def with_negatives(holdout: Holdout, n: int, seed: tuple[int, ...], *, where: str) -> Holdout:
    """The same questions with `n` drawn negatives for each user.

    Args:
        holdout: histories and targets.
        n: negatives of each user, without repeats, none of them in the history or among the targets.
        seed: numbers that, with the user's, make the draw.
        where: begins the text of an error.
    """
    seen, targets = holdout.history.by_user(), holdout.target.by_user()
    rows = [np.empty(0, np.int64)] * holdout.target.n_users
    free = np.ones(holdout.target.n_items, np.bool_)  # one mask for all users: set, drawn from, restored
    for user in holdout.users():
        touched = np.concatenate([seen[user], targets[user]])
        free[touched] = False
        rows[user] = np.concatenate([targets[user], _draw(free, n, (*seed, int(user)), where)])
        free[touched] = True
    return replace(holdout, candidates=Ragged.from_lists(rows), available=None)


def _draw(free: Bools, n: int, seed: tuple[int, ...], where: str) -> Ids:
    items = np.flatnonzero(free)
    if len(items) < n:
        raise BadInput(f"{where}: user {seed[-1]} has only {len(items)} untouched items, {n} are wanted; lower n")
    return np.random.default_rng(seed).choice(items, n, replace=False)
