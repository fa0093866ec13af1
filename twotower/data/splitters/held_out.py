"""Splits that hold out pairs, whole users or whole items, chosen by chance with a seed."""

import numpy as np

from twotower.data.dataset import Dataset
from twotower.data.split import Split
from twotower.data.splitters.parts import assemble, check_shares, distinct_ranks, rounded
from twotower.errors import BadConfig, BadInput
from twotower.types import Ids

_VALIDATION, _TEST = 1, 2


class RandomSplit:
    """User-item pairs go to a part by chance; all events of a pair go together.

    Training events may be newer than targets, so the figures flatter every model that knows of trends; take it for
    comparison with papers that do so, not for a forecast of live quality.

    Args:
        validation: share of the pairs.
        test: share of the pairs.
        seed: of the draw.
    """

    def __init__(self, *, validation: float = 0.1, test: float = 0.1, seed: int = 0) -> None:
        check_shares("random", validation=validation, test=test)
        self.validation, self.test, self.seed = validation, test, seed

    @property
    def name(self) -> str:
        """E.g. "random(validation=0.1, test=0.1, seed=0)"."""
        return f"random(validation={self.validation:g}, test={self.test:g}, seed={self.seed})"

    def split(self, dataset: Dataset) -> Split:
        """Draws the pairs.

        Raises:
            BadInput: too few pairs for three parts.
        """
        pairs, of_event = np.unique(dataset.interactions.pair_keys(), return_inverse=True)
        n_validation, n_test = (int(rounded(s, np.asarray(len(pairs)))) for s in (self.validation, self.test))
        part = draw_parts(len(pairs), n_validation, n_test, self.seed)[of_event]
        return assemble(
            dataset,
            self.name,
            train=part == 0,
            validation=part == _VALIDATION,
            test=part == _TEST,
            ordered_by_time=False,
            remedy=f"{len(pairs)} pairs are too few; give larger shares",
        )


class UserHeldOut:
    """Strong generalisation: models never train on the held-out users, who come with a part of their events.

    A held-out user's first `fold_in` share of distinct items (by time) is shown, the rest are the targets. Users with
    fewer than two distinct items are never held out. `Split.refit` adds all events of the validation users.

    Args:
        n_validation: users held out for validation; below 1 a share of the users who can be held out.
        n_test: users held out for the test; likewise.
        fold_in: share of a held-out user's distinct items that is shown.
        seed: of the draw.

    Source: Liang et al., Variational Autoencoders for Collaborative Filtering, WWW 2018, section 4.2.
    """

    def __init__(self, *, n_validation: float = 0.1, n_test: float = 0.1, fold_in: float = 0.8, seed: int = 0) -> None:
        if not 0 < fold_in < 1:
            raise BadConfig(f"user_held_out: fold_in={fold_in} must lie between 0 and 1")
        for option, n in (("n_validation", n_validation), ("n_test", n_test)):
            if n <= 0 or (n > 1 and n != int(n)):
                raise BadConfig(f"user_held_out: {option}={n} must be a share below 1 or a whole number of users")
        self.n_validation, self.n_test, self.fold_in, self.seed = n_validation, n_test, fold_in, seed

    @property
    def name(self) -> str:
        """E.g. "user_held_out(n_validation=500, n_test=500, fold_in=0.8, seed=0)"."""
        return (
            f"user_held_out(n_validation={self.n_validation:g}, n_test={self.n_test:g}, "
            f"fold_in={self.fold_in:g}, seed={self.seed})"
        )

    def split(self, dataset: Dataset) -> Split:
        """Draws the users and cuts their time lines.

        Raises:
            BadInput: too few users can be held out.
        """
        rank, distinct = distinct_ranks(dataset.interactions)
        part = self._parts(np.flatnonzero(distinct >= 2), dataset)[dataset.interactions.user]
        shown = np.clip(rounded(self.fold_in, distinct), 1, np.maximum(distinct - 1, 1))
        folded_in = rank <= shown[dataset.interactions.user]
        return assemble(
            dataset,
            self.name,
            train=part == 0,
            validation=(part == _VALIDATION) & ~folded_in,
            test=(part == _TEST) & ~folded_in,
            shown_in_validation=(part == 0) | ((part == _VALIDATION) & folded_in),
            shown_in_test=(part != _TEST) | folded_in,
            remedy="hold out more users",
        )

    def _parts(self, eligible: Ids, dataset: Dataset) -> Ids:
        """Part of every user. Shape [n_users]."""
        n_validation, n_test = (
            int(n) if n >= 1 else int(rounded(n, np.asarray(len(eligible)))) for n in (self.n_validation, self.n_test)
        )
        if n_validation + n_test >= dataset.n_users or n_validation + n_test > len(eligible):
            raise BadInput(
                f"split {self.name} of {dataset.name}: {n_validation} + {n_test} users are wanted, but only "
                f"{len(eligible)} of {dataset.n_users} have two distinct items; hold out fewer"
            )
        part = np.zeros(dataset.n_users, np.int64)
        part[eligible] = draw_parts(len(eligible), n_validation, n_test, self.seed)
        return part


class ColdItems:
    """Held-out items: all their events are targets, so they can be found by their features alone.

    A share of the items that have events is drawn for the test and as many others for validation, so that tuning sees
    the same task. Histories hold the users' events with the other items, which may be newer than the targets.

    Args:
        share: of the items with events, in each part.
        seed: of the draw.
    """

    def __init__(self, *, share: float = 0.1, seed: int = 0) -> None:
        if not 0 < share < 0.5:
            raise BadConfig(f"cold_items: share={share} must lie between 0 and 0.5: it is taken twice")
        self.share, self.seed = share, seed

    @property
    def name(self) -> str:
        """E.g. "cold_items(share=0.1, seed=0)"."""
        return f"cold_items(share={self.share:g}, seed={self.seed})"

    def split(self, dataset: Dataset) -> Split:
        """Draws the items.

        Raises:
            BadInput: too few items have events.
        """
        events = dataset.interactions
        touched = np.flatnonzero(events.item_counts())
        n = int(rounded(self.share, np.asarray(len(touched))))
        part = np.zeros(dataset.n_items, np.int64)
        part[touched] = draw_parts(len(touched), n, n, self.seed)
        part_of_event = part[events.item]
        return assemble(
            dataset,
            self.name,
            train=part_of_event == 0,
            validation=part_of_event == _VALIDATION,
            test=part_of_event == _TEST,
            ordered_by_time=False,
            remedy=f"{len(touched)} items have events; give a larger share",
        )


def draw_parts(n: int, n_validation: int, n_test: int, seed: int) -> Ids:
    """Random parts: `n_validation` ones, `n_test` twos, zeros elsewhere. Shape [n]."""
    part = np.zeros(n, np.int64)
    chosen = np.random.default_rng(seed).permutation(n)[: n_validation + n_test]
    part[chosen[:n_test]] = _TEST
    part[chosen[n_test:]] = _VALIDATION
    return part
