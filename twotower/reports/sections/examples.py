"""Section `examples`: the lists of a few users drawn at random, beside what they had seen."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from twotower.data.schema import Kind
from twotower.data.split import Holdout
from twotower.reports.examined_run import ExaminedRun
from twotower.reports.section import Section
from twotower.reports.watching import hits_of, sampled
from twotower.runs.served_run import ServedRun
from twotower.stages.recommender import TwoStageRecommender
from twotower.types import NO_ITEM, Array

SHOWN_FEATURES = 3
"""Beside the title."""
MISSED = 4
"""Later choices that are shown though the list lacks them."""


@dataclass(frozen=True, slots=True)
class Place:
    """An item as people read it, with some of its features, and whether the user chose it later."""

    item: str
    title: str
    hit: bool = False
    features: str = ""


@dataclass(frozen=True, slots=True)
class Example:
    """One user: the newest of the history, the list, how many targets there are to hit, and some that it misses."""

    user: str
    n_history: int
    history: tuple[Place, ...]
    places: tuple[Place, ...]
    n_targets: int
    missed: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True)
class ExampleLists:
    """Lists of some users, neither the best nor the worst."""

    examples: tuple[Example, ...]


class Examples(Section[ExampleLists]):
    """Lists to look at."""

    name = "examples"

    def measure(self, run: ExaminedRun) -> ExampleLists | None:
        """Lists; None where those over the whole catalogue mean nothing."""
        if not run.on_full_catalogue:
            return None
        served = run.served
        ids = (served.files.user_ids.external, served.files.item_ids.external)
        return ExampleLists(examples_of(run.recommender, run.split.test, ids, partial(_read, served), seed=run.seed))


def _read(served: ServedRun, item: int) -> tuple[str, str]:
    """What people call an item, and some more of its features, the price first."""
    title, catalogue = served.title_of(item), served.files.catalogue
    plain = {column.name for column in catalogue.schema.columns if column.kind in (Kind.CONTINUOUS, Kind.CATEGORICAL)}
    shown = {name: _brief(value) for name, value in catalogue.describe(item).items() if name in plain}
    more = sorted((name for name in shown if shown[name] not in title), key=lambda name: "price" not in name.lower())
    return title, ", ".join(f"{name} {shown[name]}" for name in more[:SHOWN_FEATURES])


def _brief(value: Any) -> str:
    """A value as a line has room for it.

    >>> _brief(42990.0), _brief(6.25), _brief("diesel")
    ('42,990', '6.25', 'diesel')
    """
    return f"{value:,.7g}" if isinstance(value, int | float) else str(value)


def examples_of(
    recommender: TwoStageRecommender,
    holdout: Holdout,
    names: tuple[Array, Array],
    read: Callable[[int], tuple[str, str]],
    *,
    n: int = 4,
    k: int = 10,
    shown: int = 8,
    seed: int = 0,
) -> tuple[Example, ...]:
    """Lists of a few users drawn at random, so that they are neither the best nor the worst.

    Args:
        recommender: what makes the lists.
        holdout: histories and targets.
        names: external ids of users and of items.
        read: called with an internal item id, says what people call it, and some of its features.
        n: users.
        k: places of a list.
        shown: newest distinct items of a history.
        seed: of the draw.
    """
    queries, relevant = sampled(holdout, n, seed)
    top = recommender.recommend(queries, k)
    hits = hits_of(top, relevant)
    users, items = names

    def place(item: int, hit: bool = False) -> Place:
        title, features = read(item)
        return Place(str(items[item]), title, hit, features)

    return tuple(
        Example(
            str(users[user]),
            len(queries.histories[row]),
            tuple(place(item) for item in list(dict.fromkeys(queries.histories[row][::-1].tolist()))[:shown]),
            tuple(place(int(i), bool(h)) for i, h in zip(top.items[row], hits[row], strict=True) if i != NO_ITEM),
            len(relevant[row]),
            tuple(place(int(item)) for item in relevant[row] if item not in top.items[row])[:MISSED],
        )
        for row, user in enumerate(queries.users)
    )
