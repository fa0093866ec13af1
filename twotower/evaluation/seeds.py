"""Several seeds of one contender: averaged user by user, so that intervals speak of users and a spread of seeds."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from twotower.errors import BadConfig
from twotower.evaluation.examine import Evaluation
from twotower.metrics.ranking import PerUser

SEED = "seed"


def takes_seed(build: Callable[..., Any]) -> bool:
    """Whether what `build` makes has an option `seed`; a model without one gives the same every time.

    >>> from functools import partial
    >>> from twotower.models.factorization.als import ALS
    >>> from twotower.models.popular import Popular
    >>> takes_seed(partial(ALS, dim=8)), takes_seed(Popular)
    (True, False)
    """
    options = inspect.signature(build).parameters
    return SEED in options


def checked_seeds(seeds: Sequence[int]) -> None:
    """Refuses all but whole numbers, each once.

    Raises:
        BadConfig: a seed stands twice, is below 0 or no whole number.
    """
    bad = [seed for seed in seeds if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0]
    if bad or len(set(seeds)) < len(seeds):
        raise BadConfig(f"eval.seeds: {list(seeds)} must be whole numbers from 0, each once, e.g. [0, 1, 2]")


def pooled(found: Mapping[int, Evaluation]) -> Evaluation:
    """One evaluation of several: per user the mean over the seeds, of catalogue metrics the mean, of times the sum.

    Args:
        found: evaluations of the same users, by seed; at least one.

    Raises:
        BadConfig: they are of different users.
    """
    parts = list(found.values())
    first = parts[0]
    if any(not np.array_equal(first.users, part.users) or first.competitors != part.competitors for part in parts):
        raise BadConfig("seeds: the fits were asked of different users; give all the same split")
    return Evaluation(
        users=first.users,
        per_user={name: _mean([part.per_user[name] for part in parts]) for name in first.per_user},
        catalogue={name: float(np.mean([part.catalogue[name] for part in parts])) for name in first.catalogue},
        ks=first.ks,
        seconds=sum(part.seconds for part in parts),
        competitors=first.competitors,
        sliced={
            name: {metric: _mean([part.sliced[name][metric] for part in parts]) for metric in metrics}
            for name, metrics in first.sliced.items()
        },
        by_seed={seed: part.means for seed, part in found.items()},
    )


def _mean(values: Sequence[PerUser]) -> PerUser:
    """User by user, read-only. Shapes [B]."""
    mean: PerUser = np.mean(values, axis=0)
    mean.setflags(write=False)
    return mean
