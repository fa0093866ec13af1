"""Roles of events: which are positive, which say no; all others were seen only. Nothing that was read is forgotten."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np

from twotower.data.dataset import Dataset
from twotower.data.interactions import Interactions
from twotower.errors import BadConfig, BadInput
from twotower.types import Bools


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """Which events have a role: those of the kinds whose value lies within the limits.

    Attributes:
        kinds: event kinds; None: all.
        min_value: smallest value; None: any.
        max_value: largest value; None: any.
    """

    kinds: Sequence[str] | None = None
    min_value: float | None = None
    max_value: float | None = None

    @classmethod
    def of(cls, where: str, given: Any) -> Self:
        """From `[buy, save]`, one kind, or `{kinds: [rate], min_value: 4}`, numbers as such or as text.

        Raises:
            BadConfig: it is none of these.
        """
        options = dict(given) if isinstance(given, Mapping) else {"kinds": given}
        accepted = [f.name for f in fields(cls)]
        if not options or not set(options) <= set(accepted):
            raise BadConfig(f"{where}: {given!r}: write kinds of events, or a mapping of {', '.join(accepted)}")
        kinds = options.get("kinds")
        kinds = kinds if kinds is None or isinstance(kinds, list | tuple) else [kinds]
        limits: dict[str, float] = {}
        for name in ("min_value", "max_value"):
            try:
                limits |= {} if options.get(name) is None else {name: float(options[name])}
            except (TypeError, ValueError) as error:
                raise BadConfig(f"{where}: {name}={options[name]!r} is not a number") from error
        return cls(kinds=None if kinds is None else [str(kind) for kind in kinds], **limits)

    def mask(self, events: Interactions, where: str) -> Bools:
        """The events that have the role. Shape [E].

        Raises:
            BadConfig: a kind does not occur.
        """
        chosen = np.ones(len(events), np.bool_)
        if self.kinds is not None:
            for kind in self.kinds:
                if kind not in events.kinds:
                    raise BadConfig(f"{where}: no events of kind {kind!r}; there are {', '.join(events.kinds)}")
            chosen &= np.isin(events.kind, [events.kinds.index(kind) for kind in self.kinds])
        if self.min_value is not None:
            chosen &= events.value >= self.min_value
        if self.max_value is not None:
            chosen &= events.value <= self.max_value
        return chosen


def with_roles(dataset: Dataset, *, target: Role | None = None, dislike: Role | None = None) -> Dataset:
    """The same data set whose interactions are the targets; all events as read stay in its `log`.

    Args:
        dataset: all events, or what roles were given before.
        target: events to learn from and to foresee; None: all that say no no.
        dislike: events that say no; never a target.

    Raises:
        BadConfig: a kind does not occur in the data set.
        BadInput: no event is a target.
    """
    events, disliked = dataset.interactions, dataset.disliked
    keep = np.ones(len(events), np.bool_) if target is None else target.mask(events, "target")
    if dislike is not None:
        says_no = dislike.mask(dataset.touched, "dislike")
        disliked = dataset.touched.where(says_no)
        keep &= ~dislike.mask(events, "dislike")
    if not keep.any():
        raise BadInput(
            f"{dataset.name}: none of {len(events):,} events is positive{_words(target, dislike)}; "
            f"values run from {events.value.min():g} to {events.value.max():g}"
        )
    if keep.all() and disliked is dataset.disliked:
        return dataset
    return replace(dataset, interactions=events.where(keep), log=dataset.touched, disliked=disliked)


def select_positives(dataset: Dataset, min_value: float | None = None, kinds: Sequence[str] | None = None) -> Dataset:
    """The same users and catalogue with the positive events as interactions, and all events as read in `log`.

    Args:
        dataset: all events.
        min_value: smallest value of a positive, e.g. 4 of 5 stars; None: any.
        kinds: event kinds that count, e.g. ("save", "contact"); None: all.

    Raises:
        BadConfig: a kind does not occur in the data set.
        BadInput: no event is positive.
    """
    return with_roles(dataset, target=Role.of("positives", {"min_value": min_value, "kinds": kinds}))


def _words(target: Role | None, dislike: Role | None) -> str:
    def limits(role: Role) -> str:
        given = {f.name: getattr(role, f.name) for f in fields(Role) if getattr(role, f.name) is not None}
        return ", ".join(f"{name}={value}" for name, value in given.items()) or "no limits"

    wanted = "" if target is None else f" with {limits(target)}"
    return wanted if dislike is None else f"{wanted} beside dislikes with {limits(dislike)}"
