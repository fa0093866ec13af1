"""Figures of every moment of a rolling test, for the curves of a report."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from twotower.data.rolling import moment_text
from twotower.evaluation.evaluation import Evaluation
from twotower.evaluation.resampling import Draws, interval_ends, resampled_figures
from twotower.evaluation.rows import MomentRow
from twotower.evaluation.slices import FEWEST, MOST_RESAMPLES


def moment_rows(evaluations: Mapping[str, Evaluation], metrics: Sequence[str], draws: Draws) -> tuple[MomentRow, ...]:
    """Every metric of every contender at every moment, with intervals over the users asked then.

    Args:
        evaluations: by contender; nothing where all were asked once.
        metrics: e.g. ("map@10", "recall@10").
        draws: of the intervals, of which at most 2,000 samples are taken.
    """
    fewer = replace(draws, resamples=min(draws.resamples, MOST_RESAMPLES))
    return tuple(
        row
        for metric in metrics
        for number in range(min((len(evaluation.rounds) for evaluation in evaluations.values()), default=0))
        for row in _rows_at(evaluations, metric, number, fewer)
    )


def _rows_at(evaluations: Mapping[str, Evaluation], metric: str, number: int, draws: Draws) -> list[MomentRow]:
    """One metric of all contenders at one moment."""
    rounds = {name: evaluation.rounds[number] for name, evaluation in evaluations.items()}
    measured = {name: found.per_user[metric] for name, found in rounds.items() if metric in found.per_user}
    rows = [
        MomentRow(
            moment_text(rounds[name].at), name, metric, rounds[name].n_users, rounds[name].n_targets,
            rounds[name].n_competing, ratio.mean() if ratio.has_say.any() else None,
        )
        for name, ratio in measured.items()
    ]  # fmt: skip
    if not rows or min(ratio.has_say.sum() for ratio in measured.values()) < FEWEST:
        return rows
    low, high = interval_ends(resampled_figures(list(measured.values()), draws), draws.level)
    return [replace(row, low=float(low[at]), high=float(high[at])) for at, row in enumerate(rows)]
