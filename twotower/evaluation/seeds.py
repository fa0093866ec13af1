"""Several seeds of one contender: averaged user by user, so that intervals speak of users and a spread of seeds."""

from collections.abc import Mapping, Sequence

import numpy as np

from twotower.errors import BadConfig
from twotower.evaluation.evaluation import Evaluation, refuse_mixed, refuse_other_users
from twotower.evaluation.ratio import Ratio, mean_ratio
from twotower.evaluation.rounds import mean_rounds


def checked_seeds(seeds: Sequence[int]) -> None:
    """Refuses all but whole numbers, each once.

    Raises:
        BadConfig: a seed stands twice, is below 0 or no whole number.
    """
    bad = [seed for seed in seeds if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0]
    if bad or len(set(seeds)) < len(seeds):
        raise BadConfig(f"eval.seeds: {list(seeds)} must be whole numbers from 0, each once, e.g. [0, 1, 2]")


def pooled(evaluations: Mapping[int, Evaluation]) -> Evaluation:
    """One evaluation of several: per user the mean over the seeds, of catalogue metrics the mean, of times the sum.

    A metric that one of the fits lacks, such as the log-loss of predictions that are no probabilities, is left out.

    Args:
        evaluations: of the same users, by seed; at least one.

    Raises:
        BadConfig: they are of different users or competitors.
    """
    refuse_other_users({f"seed {seed}": part for seed, part in evaluations.items()})
    refuse_mixed({f"seed {seed}": part.competitors for seed, part in evaluations.items()})
    parts = list(evaluations.values())
    first = parts[0]
    return Evaluation(
        users=first.users,
        per_user=_mean_ratios([part.per_user for part in parts]),
        catalogue={name: float(np.mean([part.catalogue[name] for part in parts])) for name in first.catalogue},
        ks=first.ks,
        seconds=sum(part.seconds for part in parts),
        competitors=first.competitors,
        sliced={name: _mean_ratios([part.sliced[name] for part in parts]) for name in first.sliced},
        by_seed={seed: part.means for seed, part in evaluations.items()},
        rounds=mean_rounds([part.rounds for part in parts]),
    )


def _mean_ratios(parts: Sequence[Mapping[str, Ratio]]) -> dict[str, Ratio]:
    """Metrics that all have, user by user."""
    common = [metric for metric in parts[0] if all(metric in part for part in parts)]
    return {metric: mean_ratio([part[metric] for part in parts]) for metric in common}
