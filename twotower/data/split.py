"""`Split` and `Holdout`: what a model may learn from, what it is asked, and what counts as right."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from twotower.data.dataset import Dataset
from twotower.data.interactions import Interactions
from twotower.errors import BadInput, LeakError
from twotower.types import Bools, Ids, Queries, Ragged, distinct

FULL_CATALOGUE, SAMPLED = "full catalogue", "sampled"
"""What targets compete with unless a protocol samples or items come and go, and how it is called where one samples."""
MASK_CELLS = 4_000_000
"""Queries times items excluded at once where only a few items compete: 32 MB of ids."""


@dataclass(frozen=True, slots=True, eq=False)
class Holdout:
    """One examination: the histories that are shown and the later events that should be recommended.

    Attributes:
        history: events that the recommender may see when asked.
        target: events that it should foresee; pairs already in `history` are removed when made.
        at: the moment of asking, seconds since the epoch; nothing in `history` is later.
        candidates: the only items that compete for each user, targets among them; None: all items do. n_users rows.
        available: items that can be had at the moment of asking: no others may be returned; None: all can. A target
            that is listed later stays a target that nobody can find. Shape [N].
    """

    history: Interactions
    target: Interactions
    at: int
    candidates: Ragged | None = None
    available: Bools | None = None

    def __repr__(self) -> str:
        return f"<Holdout: {len(self.target):,} targets of {len(self.users()):,} users>"

    @classmethod
    def of(cls, history: Interactions, target: Interactions, at: int, available: Bools | None = None) -> "Holdout":
        """Drops known positives and repeated pairs from the target."""
        return cls(history, target.where(~history.has_pairs_of(target)).unique_pairs(), at, available=available)

    def users(self) -> Ids:
        """Users with at least one target, rising."""
        return np.flatnonzero(np.bincount(self.target.user, minlength=self.target.n_users))

    def queries(self) -> Queries:
        """One query per user with a target: history shown, known positives excluded."""
        return self._asked(self.users())

    def _asked(self, users: Ids) -> Queries:
        shown = self.history.by_user().take(users)
        times = Ragged(self.history.time, self.history.offsets).take(users)
        return Queries(users, shown, shown, self.available, times)

    def relevant(self) -> Ragged:
        """Target items of each query's user, in the order of `users()`."""
        return self.target.by_user().take(self.users())

    def findable(self) -> Bools:
        """Targets that can be had when asked. Shape [P]."""
        return np.ones(len(self.target), np.bool_) if self.available is None else self.available[self.target.item]

    def grades(self) -> Ragged:
        """Values of the relevant items, e.g. ratings, in the order of `relevant()`."""
        return Ragged(self.target.value, self.target.offsets).take(self.users())

    def blocks(self, size: int) -> Iterator[tuple[Queries, Ragged]]:
        """Consecutive queries, at most `size` at once, with their relevant items; what does not compete is excluded."""
        users, targets = self.users(), self.target.by_user()
        if self.candidates is not None:
            size = max(1, min(size, MASK_CELLS // self.target.n_items))
        for start in range(0, len(users), size):
            block = users[start : start + size]
            asked = self._asked(block)
            yield replace(asked, exclusions=self._excluded(asked)), targets.take(block)

    def rounds(self) -> Iterator["Holdout"]:
        """The examinations that it is made of: itself, or one for each moment of asking."""
        yield self

    def _excluded(self, asked: Queries) -> Ragged:
        """Known positives, or where candidates are given everything else."""
        if self.candidates is None:
            return asked.exclusions
        competing = self.candidates.take(asked.users)
        out = np.ones((len(asked), self.target.n_items), np.bool_)
        out[competing.row_ids(), competing.values] = False
        return Ragged.from_lengths(np.nonzero(out)[1], out.sum(axis=1))

    @property
    def competitors(self) -> str:
        """What a target is ranked against: "full catalogue", what is available of it, or "sampled, 99 negatives"."""
        if self.candidates is None:
            if self.available is None:
                return FULL_CATALOGUE
            return f"{int(self.available.sum()):,} of {len(self.available):,} items, available when asked"
        n = self.candidates.take(self.users()).lengths - self.relevant().lengths
        high = int(n.max(initial=0))
        low = int(n.min(initial=high))
        return f"{SAMPLED}, {high} negatives" if low == high else f"{SAMPLED}, {low} to {high} negatives"


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Train, validation and test of one data set.

    Attributes:
        dataset: users, catalogue and all events.
        train: what models learn from.
        validation: for early stopping and tuning.
        test: for the final figures only; its history holds the training and validation events.
        name: how the split was made, e.g. "leave_last(n=1)".
        ordered_by_time: False for random splits, whose histories are not older than their targets.
    """

    dataset: Dataset
    train: Interactions
    validation: Holdout
    test: Holdout
    name: str
    ordered_by_time: bool = True

    def __repr__(self) -> str:
        sizes = f"{len(self.train):,} train, {len(self.validation.target):,} validation, {len(self.test.target):,} test"
        return f"<Split {self.name} of {self.dataset.name}: {sizes}>"

    def __post_init__(self) -> None:
        if not len(self.train):
            raise BadInput(f"split {self.name}: no training events; choose an earlier or later cut")
        for part in ("validation", "test"):
            holdout: Holdout = getattr(self, part)
            if holdout.history.has_pairs_of(holdout.target).any():
                raise LeakError(f"split {self.name}: a {part} pair is already in the {part} history; use Holdout.of")
            _refuse_lost_targets(self.name, part, holdout)
        self._refuse_leaks()

    def _refuse_leaks(self) -> None:
        for part, holdout in (("validation", self.validation), ("test", self.test)):
            leaked = self.train.has_pairs_of(holdout.target)
            if leaked.any():
                user, item = holdout.target.user[leaked.argmax()], holdout.target.item[leaked.argmax()]
                raise LeakError(f"split {self.name}: {part} pair (user {user}, item {item}) is also in train")
        if not self.ordered_by_time:
            return
        for part, history, target in (
            ("validation", self.train, self.validation.target),
            ("validation", self.validation.history, self.validation.target),
            ("test", self.train, self.test.target),
            ("test", self.test.history, self.test.target),
            ("test", self.validation.target, self.test.target),
        ):
            _refuse_future(self.name, part, history, target)

    @property
    def watches_validation(self) -> bool:
        """Whether a fit may stop early by `validation`; not in the last fit, which learns from it."""
        return len(self.validation.target) > 0

    @property
    def asked_at(self) -> int:
        """The moment at which a model fitted on `train` is asked: that of the validation, seconds since the epoch."""
        return self.validation.at

    @property
    def ready_for(self) -> Holdout:
        """What a model that reads histories and profiles when asked stands ready for after its fit: the test."""
        return self.test

    def over_whole_catalogue(self) -> "Split":
        """The same with every item competing, also what cannot be had at the moment of asking."""
        validation, test = (replace(part, available=None) for part in (self.validation, self.test))
        return replace(self, validation=validation, test=test)

    def refit(self) -> "Split":
        """Train and validation events together as train, for the last fit before the test.

        All events of a trained or validated user that the test shows are taken, repeats of known pairs included; users
        who only appear in the test stay out, so that strong generalisation stays strong.
        """
        learnt = np.zeros(self.train.n_users, bool)
        learnt[self.train.user] = learnt[self.validation.target.user] = True
        joined = self.test.history.where(learnt[self.test.history.user])
        for part in (self.train, self.validation.target):  # hand-made splits may show less in the test
            missing = part.where(~joined.has_pairs_of(part))
            joined = joined.concat(missing) if len(missing) else joined
        return FinalSplit(self.dataset, joined, self.validation, self.test, self.name, self.ordered_by_time)

    def whole(self) -> "Split":
        """All events as train and as what is known when asked, for a run to go live: nothing is left to foresee."""
        events = self.dataset.interactions
        nothing = Holdout(events, events.where(np.empty(0, np.int64)), int(events.time.max()))
        return Split(self.dataset, events, nothing, nothing, f"{self.name}, then all events", self.ordered_by_time)


class FinalSplit(Split):
    """A split whose train part holds the validation events on purpose; only the test may be asked of it."""

    __slots__ = ()

    @property
    def watches_validation(self) -> bool:
        """Never: the validation part is learnt from."""
        return False

    @property
    def asked_at(self) -> int:
        """The moment of the test, seconds since the epoch."""
        return self.test.at

    def _refuse_leaks(self) -> None:
        if self.train.has_pairs_of(self.test.target).any():
            raise LeakError(f"split {self.name}: a test pair is in the joined train part")


def _refuse_lost_targets(name: str, part: str, holdout: Holdout) -> None:
    """A target that may not compete could never be found, and a known positive among candidates is a second target."""
    if holdout.candidates is None:
        return
    candidates, n_items = holdout.candidates, holdout.target.n_items
    keys = candidates.row_ids() * n_items + candidates.values
    if len(distinct(keys)) < len(keys):
        raise BadInput(f"split {name}: a {part} candidate stands twice for one user; give each once")
    lost = ~np.isin(holdout.target.pair_keys(), keys)
    known = np.isin(holdout.history.pair_keys(), keys)
    for wrong, events, what in ((lost, holdout.target, "target is no"), (known, holdout.history, "known pair is a")):
        if wrong.any():
            user, item = events.user[wrong.argmax()], events.item[wrong.argmax()]
            raise BadInput(
                f"split {name}: {part}: {what} candidate (internal user {user}, item {item}); correct the lists"
            )


def _refuse_future(name: str, part: str, history: Interactions, target: Interactions) -> None:
    """Per user, no target may be older than the newest event known before it."""
    newest = np.full(history.n_users, np.iinfo(np.int64).min)
    newest[history.user] = history.time  # sorted by user and time: the last one written is the newest
    early = target.time < newest[target.user]
    if early.any():
        row = int(early.argmax())
        user = int(target.user[row])
        raise LeakError(
            f"split {name}: {part} event of user {user} at {target.time[row]} is older than "
            f"that user's newest earlier-known event at {newest[user]}"
        )
