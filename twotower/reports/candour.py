"""What a verdict must not leave out: a plain number, where rivals lead, what is not told apart, too little tuning."""

from twotower.evaluation.report import Report
from twotower.evaluation.results import ModelFacts
from twotower.evaluation.rows import RivalRow
from twotower.metrics.labels import metric_label
from twotower.metrics.metric import Metric
from twotower.reports import wording

FEW_TRIALS = 5
"""Settings below which nobody can speak of tuning, unless there are no more."""
MOST_NAMED = 8
"""Metrics that are named of each rival that leads; the others are counted."""


def plain_number(report: Report) -> str:
    """For how many of ten users a list holds something they chose later; empty where that was not measured."""
    k = Metric.parse(report.primary).k
    key = f"hit_rate@{k}"
    if k is None or key not in report.keys("hit_rate"):
        return ""
    rates = {model.name: report.row(model.name, key).mean for model in [report.hero(), *report.foreign()[:1]]}
    of = _denominator(min((rate for rate in rates.values() if rate > 0), default=1.0))
    (ours, rate), *other = rates.items()
    whom = "times that somebody was asked for" if report.moments else "users"
    text = f"For {_of(rate, of)} {whom}, the list of {k} by {ours} holds something they chose later"
    return text + "".join(f"; the list by {name} does for {_of(rate, of)}" for name, rate in other) + "."


def _denominator(share: float) -> int:
    """The smallest power of ten, from 10 on, of which a share is at least one."""
    return next((of for of in (10, 100, 1000) if share * of >= 0.95), 10_000)


def _of(share: float, of: int) -> str:
    return f"{share * of:.0f} of {of:,}"


def conclusion(report: Report) -> str:
    """Which rivals the data tell ours apart from, by the primary metric; empty where nothing was tested."""
    rows = [row for row in report.rivals if row.metric == report.primary]
    if not rows:
        return _of_baseline(report)
    alike = [f"{row.rival} (p {row.p_holm:.2f})" for row in rows if wording.mark(report, row) == wording.ALIKE]
    apart = [row.rival for row in rows if wording.mark(report, row) != wording.ALIKE]
    parts = [
        f"The data tell {report.hero().name} apart from {_listed(apart)}" if apart else "",
        f"{'they' if apart else 'The data'} do not tell {'it' if apart else report.hero().name} apart from "
        f"{_listed(alike)}"
        if alike
        else "",
    ]
    return f"{'; '.join(filter(None, parts))} (permutation test, p after Holm, {1 - report.level:.0%} level)."


def _of_baseline(report: Report) -> str:
    """The same for reports that compare with their baseline alone."""
    row = report.row(report.hero().name, report.primary)
    if row.p_holm is None:
        return ""
    alike = " not" if row.p_holm >= 1 - report.level else ""
    verb = "do not tell" if alike else "tell"
    return f"The data {verb} {row.model} apart from {report.baseline} (p {row.p_holm:.4f} after Holm)."


def leads(report: Report) -> list[str]:
    """A line for each rival with a better figure by any metric at any cut-off, those told apart first."""
    lines = []
    for rival in dict.fromkeys(row.rival for row in report.rivals):
        rows = [row for row in report.rivals if row.rival == rival]
        ahead = sorted((row for row in rows if row.rival_leads), key=lambda row: _rank(report, row))
        if ahead:
            named = ", ".join(_lead(report, row) for row in ahead[:MOST_NAMED])
            more = f" and {len(ahead) - MOST_NAMED} more" if len(ahead) > MOST_NAMED else ""
            lines.append(f"{rival} leads in {len(ahead)} of {len(rows)} figures: {named}{more}.")
    return lines


def _rank(report: Report, row: RivalRow) -> tuple[bool, bool, bool]:
    """Told apart first, then those at the primary cut-off, then the primary metric at others."""
    metric, primary = Metric.parse(row.metric), Metric.parse(report.primary)
    return wording.mark(report, row) == wording.ALIKE, metric.k != primary.k, metric.name != primary.name


def _lead(report: Report, row: RivalRow) -> str:
    """The figure of the rival beside ours, and whether it is more than chance."""
    apart = "" if wording.mark(report, row) == wording.ALIKE else f" {wording.WORSE}"
    return f"{metric_label(row.metric)} {row.rival_mean:.4f} : {row.mean:.4f}{apart}"


def warnings(report: Report) -> list[str]:
    """Lines on contenders that were hardly tuned, or whose best setting lies at the border of what was tried."""
    few = [f"{model.name} ({_tried(model)})" for model in report.models if _is_hardly_tuned(model)]
    border = [f"{model.name} ({', '.join(model.at_border)})" for model in report.foreign() if model.at_border]
    lines = []
    if few:
        lines.append(f"Too few settings were tried to call these tuned: {_listed(few)}; raise eval.max_trials.")
    if border:
        lines.append(
            f"At the border of what was tried lies the best setting of {_listed(border)}; a better one may lie beyond."
        )
    return lines


def _is_hardly_tuned(model: ModelFacts) -> bool:
    n = len(model.trials)
    return 0 < n < FEW_TRIALS and (model.grid_size == 0 or n < model.grid_size)


def _tried(model: ModelFacts) -> str:
    of = f" of {model.grid_size}" if model.grid_size else ""
    return f"{len(model.trials)}{of}"


def _listed(names: list[str]) -> str:
    """Names as a sentence has them.

    >>> _listed(["a"]), _listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
