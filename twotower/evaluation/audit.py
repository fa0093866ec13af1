"""The audit of a split: what the order of equal times decides, and what is learnt or asked out of time."""

from typing import Any

import numpy as np

from twotower.data.split import Holdout, Split
from twotower.data.ties import ties_of


def split_audit(split: Split) -> dict[str, Any]:
    """Shares, by part, that say how far figures hang on the cut.

    Returns:
        `validation` and `test`, each with
        `tied_users`, `decided_by_ties`: see `Ties`; None for a split that is not cut along time;
        `older_than_learnt`: targets that are older than the newest event that is learnt, of whomever;
        `not_to_be_had`: targets that cannot be had when asked, so that nobody finds them;
        `new_items`, `new_users`: targets of items, and users, without any event before.
    """
    newest = int(split.train.time.max())
    learnt = {"validation": newest, "test": max(newest, _newest_of(split.validation))}
    parts = {"validation": split.validation, "test": split.test}
    return {name: _audited(holdout, learnt[name], split.ordered_by_time) for name, holdout in parts.items()}


def _audited(holdout: Holdout, newest: int, ordered: bool) -> dict[str, float | None]:
    target, asked = holdout.target, holdout.users()
    ties = ties_of(holdout) if ordered else None
    active = np.bincount(holdout.history.user, minlength=holdout.history.n_users)[asked] > 0
    return {
        "tied_users": None if ties is None else ties.users,
        "decided_by_ties": None if ties is None else ties.targets,
        "older_than_learnt": float((target.time < newest).mean()),
        "not_to_be_had": float(1 - holdout.findable().mean()),
        "new_items": float((holdout.history.item_counts()[target.item] == 0).mean()),
        "new_users": float(1 - active.mean()),
    }


def _newest_of(holdout: Holdout) -> int:
    return int(holdout.target.time.max()) if len(holdout.target) else holdout.at
