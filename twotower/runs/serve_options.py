"""`ServeOptions`: how a run makes its lists."""

from collections.abc import Sequence
from dataclasses import dataclass

from twotower.errors import BadConfig
from twotower.stages.strategies import checked_strategy


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How lists are made.

    Attributes:
        n_candidates: how many retrieved items are ranked.
        exclude_seen: whether items that the user has touched are left out.
        only_available: whether items that are sold or not listed yet are left out, where lifetimes are known.
        where: catalogue rules such as `price<=15000`; an item must meet all.
        at: the moment of asking, seconds since the epoch; None: that of the newest event.
        strategy: how candidates are found: direct (ask the index with the user's vector), pseudo (with the mean of the
            vectors of the history's items) or cluster (RankNet chooses cells of the index).
        recent: newest events that pseudo reads.
        n_cells: cells that share the candidates of cluster; None: a sixteenth of them, at least 16.
    """

    n_candidates: int = 500
    exclude_seen: bool = True
    only_available: bool = True
    where: Sequence[str] = ()
    at: int | None = None
    strategy: str = "direct"
    recent: int = 100
    n_cells: int | None = None

    def __post_init__(self) -> None:
        """Refuses what cannot be meant.

        Raises:
            BadConfig: an unknown strategy, or fewer than one event or cell.
        """
        checked_strategy(self.strategy)
        for name in ("recent", "n_cells"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BadConfig(f"{name} must be at least 1, got {value}")
