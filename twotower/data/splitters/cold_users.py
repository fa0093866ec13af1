"""`ColdUsers`: users of whom nothing, or next to nothing, is known when they are asked."""

import numpy as np

from twotower.data.dataset import Dataset
from twotower.data.split import Split
from twotower.data.splitters.held_out import draw_parts
from twotower.data.splitters.parts import assemble, distinct_ranks, rounded
from twotower.errors import BadConfig, BadInput


class ColdUsers:
    """Held-out users who come with their first `shown` items, none by default: only their features can speak.

    A share of the users with more than `shown` distinct items is drawn for the test and as many others for validation,
    so that tuning sees the same task. Models never train on either, and `Split.refit` adds the validation users.

    Args:
        share: of the users who can be held out, in each part.
        shown: distinct items, the oldest, that a held-out user brings along.
        seed: of the draw.
    """

    def __init__(self, *, share: float = 0.1, shown: int = 0, seed: int = 0) -> None:
        if not 0 < share < 0.5:
            raise BadConfig(f"cold_users: share={share} must lie between 0 and 0.5: it is taken twice")
        if shown < 0:
            raise BadConfig(f"cold_users: shown={shown} must be at least 0 items")
        self.share, self.shown, self.seed = share, shown, seed

    @property
    def name(self) -> str:
        """E.g. "cold_users(share=0.1, shown=0, seed=0)"."""
        return f"cold_users(share={self.share:g}, shown={self.shown}, seed={self.seed})"

    def split(self, dataset: Dataset) -> Split:
        """Draws the users and takes their events away.

        Raises:
            BadInput: too few users can be held out.
        """
        rank, distinct = distinct_ranks(dataset.interactions)
        eligible = np.flatnonzero(distinct > self.shown)
        n = int(rounded(self.share, np.asarray(len(eligible))))
        if not n:
            raise BadInput(
                f"split {self.name} of {dataset.name}: {len(eligible)} users have more than {self.shown} items, a "
                f"share of {self.share:g} of them is nobody; give a larger share"
            )
        part_of_user = np.zeros(dataset.n_users, np.int64)
        part_of_user[eligible] = draw_parts(len(eligible), n, n, self.seed)
        part = part_of_user[dataset.interactions.user]
        known = rank <= self.shown
        return assemble(
            dataset,
            self.name,
            train=part == 0,
            validation=(part == 1) & ~known,
            test=(part == 2) & ~known,
            shown_in_validation=(part == 0) | ((part == 1) & known),
            shown_in_test=(part != 2) | known,
            remedy="give a larger share",
        )
