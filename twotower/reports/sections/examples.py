"""Section `examples`: the lists of a few users drawn at random, beside what they had seen."""

from collections.abc import Callable
from dataclasses import dataclass

from twotower.data.split import Holdout
from twotower.reports.examined_run import ExaminedRun
from twotower.reports.section import Section
from twotower.reports.watching import hits_of, sampled
from twotower.stages.recommender import TwoStageRecommender
from twotower.types import NO_ITEM, Array


@dataclass(frozen=True, slots=True)
class Place:
    """An item as people read it, and whether the user chose it later."""

    item: str
    title: str
    hit: bool = False


@dataclass(frozen=True, slots=True)
class Example:
    """One user: the newest of the history, the list, and how many targets there are to hit."""

    user: str
    n_history: int
    history: tuple[Place, ...]
    places: tuple[Place, ...]
    n_targets: int


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
        return ExampleLists(examples_of(run.recommender, run.split.test, ids, served.title_of, seed=run.seed))


def examples_of(
    recommender: TwoStageRecommender,
    holdout: Holdout,
    names: tuple[Array, Array],
    title: Callable[[int], str],
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
        title: called with an internal item id, says what people call it.
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
        return Place(str(items[item]), title(item), hit)

    return tuple(
        Example(
            str(users[user]),
            len(queries.histories[row]),
            tuple(place(item) for item in list(dict.fromkeys(queries.histories[row][::-1].tolist()))[:shown]),
            tuple(place(int(i), bool(h)) for i, h in zip(top.items[row], hits[row], strict=True) if i != NO_ITEM),
            len(relevant[row]),
        )
        for row, user in enumerate(queries.users)
    )
