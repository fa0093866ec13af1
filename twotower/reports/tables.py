"""A `Report` as text: the table for the terminal, and the cells that every table of it shares."""

import sys
from typing import TextIO

from twotower.data.split import FULL_CATALOGUE, SAMPLED
from twotower.evaluation.report import Report
from twotower.evaluation.results import ModelFacts, Row
from twotower.metrics.labels import metric_label
from twotower.metrics.metric import VALUE_METRICS, Metric
from twotower.reports import candour, wording
from twotower.reports.audit import audit_lines
from twotower.text import aligned, gib_text

_HEADLINE_METRICS = ("map", "precision", "ndcg", "hit_rate")


def text_table(report: Report) -> str:
    """The headline table for a terminal: models by the primary metric, best first."""
    headline = map(metric_label, headline_metrics(report))
    seeds = ["seeds"] if wording.has_seeds(report) else []
    rows = [["model", metric_label(report.primary), "interval", "vs baseline", "p (Holm)", *seeds, *headline]]
    for model in report.ranking():
        row = report.row(model.name, report.primary)
        others = [f"{report.row(model.name, metric).mean:.4f}" for metric in headline_metrics(report)]
        spread = [wording.seeds_text(model, row) for _ in seeds]
        tested = [f"{gain_text(report, row)} {wording.mark(report, row)}".strip(), p_text(row)]
        rows.append([model.name, f"{row.mean:.4f}", interval_text(row), *tested, *spread, *others])
    return aligned(rows, ruled=True)


def print_report(report: Report, file: TextIO | None = None) -> None:
    """Prints the headline table with its conditions."""
    test = report.split["test"]
    conditions = (
        f"{report.dataset['name']} · {report.split['name']} · {test['users']:,} users{times_asked(report)}, "
        f"{test['targets']:,} targets · "
        f"{asked(report)}"
    )
    stages = [wording.stage_gain_line(report, gain) for gain in report.stage_gains if gain.metric == report.primary]
    costs = [wording.index_cost_line(report, cost) for cost in report.index_costs]
    peers = wording.weaker(report) or list(filter(None, [wording.peers_are_matched(report)]))
    candid = [candour.conclusion(report), *candour.leads(report), *candour.warnings(report), *audit_lines(report)]
    further = [*filter(None, candid), *peers, *stages, *costs]
    lines = [conditions, "", text_table(report), *([""] if further else []), *further]
    (file or sys.stdout).write("\n".join(lines) + "\n")


def times_asked(report: Report) -> str:
    """How often users are asked in a rolling test; nothing where each is asked once."""
    test = report.split["test"]
    return f" asked {test['questions']:,} times at {test['moments']:,} moments" if "questions" in test else ""


def asked(report: Report) -> str:
    """What was asked of every contender: lists among competitors, or the values of the targets."""
    if not Metric.parse(report.primary).of_lists:
        return "the value of every target predicted at its moment"
    return f"{competitors(report)}, known positives excluded"


def competitors(report: Report) -> str:
    """What targets are ranked against; sampled figures are marked wherever they stand."""
    among = str(report.split.get("competitors", FULL_CATALOGUE))  # reports of format 1 from before there were others
    if among == FULL_CATALOGUE:
        return f"full catalogue of {report.dataset['items']:,}"
    return f"{among} per user" if among.startswith(SAMPLED) else among


def test_note(report: Report) -> str:
    """What differences are tested against, and how."""
    if report.baseline is None:
        return "No baseline was named, so nothing is tested."
    return (
        f"Differences are from `{report.baseline}`; p (Holm): paired permutation test over users, two-sided, "
        "corrected for the number of models."
    )


def headline_metrics(report: Report) -> list[str]:
    """Metrics that stand beside the primary one: of lists at its cut-off, of predicted values those that all have."""
    primary = Metric.parse(report.primary)
    beside = [f"{name}@{primary.k}" for name in _HEADLINE_METRICS] if primary.of_lists else list(VALUE_METRICS)
    everywhere = [name for name in report.metrics if len(report.measured(name)) == len(report.models)]
    return [key for key in beside if key != report.primary and Metric.parse(key).name in everywhere]


def cut_offs(report: Report, metric: str) -> list[int | None]:
    """The cut-offs of a metric; None alone where it has none."""
    return [Metric.parse(key).k for key in report.keys(metric)]


def cut_off_heads(report: Report, metric: str) -> list[str]:
    """Heads of a table of one metric: its cut-offs, or its label where it has none."""
    return [metric_label(metric) if k is None else f"k={k}" for k in cut_offs(report, metric)]


def interval_text(row: Row) -> str:
    """The bootstrap interval."""
    return f"{row.low:.4f}–{row.high:.4f}"


def gain_text(report: Report, row: Row) -> str:
    """The difference from the baseline, relative where that is above zero."""
    if row.difference is None:
        return "baseline" if row.model == report.baseline else "–"
    before = row.mean - row.difference
    return f"{row.difference / before:+.1%}" if before > 0 else f"{row.difference:+.4f}"


def p_text(row: Row) -> str:
    """The p-value after Holm."""
    return "–" if row.p_holm is None else f"{row.p_holm:.4f}"


def trials_text(model: ModelFacts) -> str:
    """Trials spent on tuning, of how many there are."""
    of = f" of {model.grid_size}" if model.grid_size else ""
    return f"{len(model.trials)}{of}" if model.trials else "–"


def costs_of(model: ModelFacts) -> list[str]:
    """Cells of what a model cost: trials, times, speed, memory."""
    seconds = [f"{s:,.1f} s" for s in (model.tune_seconds, model.fit_seconds, model.evaluate_seconds)]
    return [trials_text(model), *seconds, f"{model.users_per_second:,.0f}", gib_text(model.peak_memory_bytes)]


def catalogue_of(report: Report, model: ModelFacts) -> list[str]:
    """Cells of the metrics of all lists together."""
    values = [model.catalogue.get(name) for name in wording.catalogue_metrics(report)]
    return ["–" if value is None else f"{value:.4f}" for value in values]
