"""Plain facts of a report about data, split, models and their tuning: what JSON can take."""

import math
from typing import Any

from twotower.data.rolling import RollingHoldout
from twotower.data.split import Holdout, Split
from twotower.evaluation.audit import split_audit
from twotower.evaluation.search_result import Options, SearchResult


def all_options(model: Any, known: Options) -> Options:
    """Every option of a model that tells them, else those known."""
    options = getattr(model, "options", None)
    return dict(options()) if callable(options) else dict(known)


def trial_facts(tuned: SearchResult | None) -> list[dict[str, Any]]:
    """Options, score, seconds and error of every trial, in order."""
    trials = tuned.trials if tuned else ()
    return [{"options": t.options, "score": finite(t.score), "seconds": t.seconds, "error": t.error} for t in trials]


def finite(value: float) -> float | None:
    """The number, or None for what JSON cannot write."""
    return value if math.isfinite(value) else None


def dataset_facts(split: Split) -> dict[str, Any]:
    """Name, fingerprint and sizes."""
    data = split.dataset
    return {
        "name": data.name,
        "fingerprint": data.fingerprint(),
        "users": data.n_users,
        "items": data.n_items,
        "events": len(data.interactions),
    }


def split_facts(split: Split) -> dict[str, Any]:
    """Name, training events, users and targets of validation and test, what competes, and the audit."""

    def part(holdout: Holdout) -> dict[str, int]:
        facts = {"users": len(holdout.users()), "targets": len(holdout.target), "asked_at": holdout.at}
        if isinstance(holdout, RollingHoldout):
            facts |= {"moments": len(holdout.moments), "questions": holdout.n_questions}
        return facts

    return {
        "name": split.name,
        "ordered_by_time": split.ordered_by_time,
        "train_events": len(split.train),
        "validation": part(split.validation),
        "test": part(split.test),
        "competitors": split.test.competitors,
        "audit": split_audit(split),
    }
