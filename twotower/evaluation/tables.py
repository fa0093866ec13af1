"""A `Report` as text: tables for the terminal and a Markdown page for people."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from twotower.data.split import FULL_CATALOGUE
from twotower.evaluation.report import IndexCost, ModelFacts, Report, Row
from twotower.metrics.names import metric_label, metric_meaning

_HEADLINE_METRICS = ("map", "precision", "ndcg", "hit_rate")
Cells = Sequence[Sequence[str]]


def text_table(report: Report) -> str:
    """The headline table for a terminal: models by the primary metric, best first."""
    headline = map(metric_label, headline_metrics(report))
    header = [metric_label(report.primary), "interval", "vs baseline", "p (Holm)", *headline]
    rows = [["model", *header]]
    for model in report.ranking():
        row = report.row(model.name, report.primary)
        others = [f"{report.row(model.name, metric).mean:.4f}" for metric in headline_metrics(report)]
        rows.append([model.name, f"{row.mean:.4f}", interval_text(row), gain_text(report, row), p_text(row), *others])
    return aligned(rows)


def print_report(report: Report, file: TextIO | None = None) -> None:
    """Prints the headline table with its conditions."""
    test = report.split["test"]
    conditions = (
        f"{report.dataset['name']} · {report.split['name']} · {test['users']:,} users, {test['targets']:,} targets · "
        f"{_competitors(report)}, known positives excluded"
    )
    costs = [index_cost_line(report, cost) for cost in report.index_costs]
    lines = [conditions, "", text_table(report), *([""] if costs else []), *costs]
    (file or sys.stdout).write("\n".join(lines) + "\n")


def _competitors(report: Report) -> str:
    """What targets are ranked against; sampled figures are marked wherever they stand."""
    sampled = report.split.get("competitors", FULL_CATALOGUE)  # reports of format 1 from before there were others
    return f"full catalogue of {report.dataset['items']:,}" if sampled == FULL_CATALOGUE else f"{sampled} per user"


def index_cost_line(report: Report, cost: IndexCost) -> str:
    """What the index costs a contender, in one line."""
    told = f"index of {cost.model}: {cost.index}; {metric_label(cost.metric)} {cost.mean:.4f}"
    if cost.is_exact:
        return f"{told}, which is that of exact retrieval: every item is compared, so the index costs nothing"
    share = "" if cost.relative is None else f"{cost.relative:+.2%}, "
    return (
        f"{told}, with exact retrieval {cost.exact_mean:.4f}: {share}difference {cost.difference:+.5f} "
        f"({report.level:.0%} interval {cost.low:+.5f} to {cost.high:+.5f}, p {cost.p_value:.4f})"
    )


def markdown(report: Report) -> str:
    """The whole report as one page."""
    parts = [
        f"# {report.dataset['name']}: {len(report.models)} models, {report.split['name']}",
        _conditions(report),
        f"## {metric_label(report.primary)}",
        f"{metric_meaning(report.primary)} Intervals: {report.level:.0%} bootstrap over users "
        f"({report.resamples:,} resamples). {test_note(report)}",
        _primary_table(report),
    ]
    if report.index_costs:
        lines = "\n".join(f"- {index_cost_line(report, cost)}" for cost in report.index_costs)
        parts += ["## What the index costs", lines]
    for metric in report.metrics:
        parts += [f"## {metric_label(metric)}", metric_meaning(metric), _metric_table(report, metric)]
    parts += [
        "## Catalogue",
        "Share of items shown to anybody, inequality of exposure (0: equal), mean surprise in bits.",
    ]
    parts += [_catalogue_table(report), "## Cost", _cost_table(report), "## Options", _options(report)]
    return "\n\n".join(parts) + "\n"


def _conditions(report: Report) -> str:
    data, split = report.dataset, report.split
    validation, test = split["validation"], split["test"]
    facts = [
        f"Data: {data['users']:,} users, {data['items']:,} items, {data['events']:,} events; "
        f"fingerprint `{data['fingerprint'][:16]}`",
        f"Split `{split['name']}`: {split['train_events']:,} training events; validation {validation['users']:,} users "
        f"with {validation['targets']:,} targets; test {test['users']:,} users with {test['targets']:,} targets",
        f"Every user with a test target is asked once: {_competitors(report)}; known positives are excluded",
        f"Seed {report.seed}; {report.wall_seconds:,.0f} s in all; peak memory {gib_text(report.peak_memory_bytes)}",
        "Machine: " + ", ".join(f"{name} {value}" for name, value in report.machine.items()),
        "Versions: " + ", ".join(f"{name} {value}" for name, value in report.versions.items()),
        f"Made {report.created}",
    ]
    return "\n".join(f"- {fact}" for fact in facts)


def test_note(report: Report) -> str:
    """What differences are tested against, and how."""
    if report.baseline is None:
        return "No baseline was named, so nothing is tested."
    return (
        f"Differences are from `{report.baseline}`; p (Holm): paired permutation test over users, two-sided, "
        "corrected for the number of models."
    )


def _primary_table(report: Report) -> str:
    figures = [metric_label(report.primary), f"{report.level:.0%} interval", "vs baseline", "p (Holm)", "validation"]
    rows = [["model", *figures]]
    for model in report.ranking():
        row = report.row(model.name, report.primary)
        rows.append(
            [model.name, f"{row.mean:.4f}", interval_text(row), gain_text(report, row), p_text(row), _best(model)]
        )
    return markdown_table(rows)


def _metric_table(report: Report, metric: str) -> str:
    rows = [["model", *(f"k={k}" for k in report.ks)]]
    for model in report.ranking():
        cells = [report.row(model.name, f"{metric}@{k}") for k in report.ks]
        rows.append([model.name, *(f"{row.mean:.4f} ({row.low:.4f}–{row.high:.4f})" for row in cells)])
    return markdown_table(rows)


def _catalogue_table(report: Report) -> str:
    k = report.primary.partition("@")[2]
    names = [f"{what}@{k}" for what in ("coverage", "gini", "novelty")]
    rows = [["model", *names]]
    for model in report.ranking():
        values = [model.catalogue[name] for name in names]
        rows.append([model.name, *("–" if value is None else f"{value:.4f}" for value in values)])
    return markdown_table(rows)


def _cost_table(report: Report) -> str:
    rows = [["model", "trials", "tuning", "last fit", "evaluation", "users/s", "peak memory so far"]]
    for model in report.models:
        of = f" of {model.grid_size}" if model.grid_size else ""
        trials = f"{len(model.trials)}{of}" if model.trials else "–"
        seconds = [f"{s:,.1f} s" for s in (model.tune_seconds, model.fit_seconds, model.evaluate_seconds)]
        speed = f"{model.users_per_second:,.0f}"
        rows.append([model.name, trials, *seconds, speed, gib_text(model.peak_memory_bytes)])
    return markdown_table(rows)


def _options(report: Report) -> str:
    return "\n".join(f"- `{model.name}`: {_plain(model.options)}{_border(model)}" for model in report.ranking())


def _border(model: ModelFacts) -> str:
    """Says where a search was too narrow."""
    names = ", ".join(f"`{name}`" for name in model.at_border)
    return f"; best at the border of what was tried, so let it grow: {names}" if names else ""


def _plain(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in options.items()) or "no options"


def headline_metrics(report: Report) -> list[str]:
    """Metrics that stand beside the primary one, at its cut-off."""
    k = report.primary.partition("@")[2]
    wanted = [f"{name}@{k}" for name in _HEADLINE_METRICS if name in report.metrics]
    return [metric for metric in wanted if metric != report.primary]


def _best(model: ModelFacts) -> str:
    scores = [trial["score"] for trial in model.trials if trial["score"] is not None]
    return f"{max(scores):.4f}" if scores else "–"


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


def gib_text(n_bytes: int) -> str:
    """Bytes as GiB."""
    return f"{n_bytes / 2**30:.2f} GiB"


def markdown_table(rows: Cells) -> str:
    """Rows of texts as a table of Markdown, the header first: names to the left, figures to the right."""
    header, *body = ("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
    return "\n".join([header, "|---|" + "---:|" * (len(rows[0]) - 1), *body])


def aligned(rows: Cells) -> str:
    """Columns of equal width: names to the left, figures to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(w) if at == 0 else cell.rjust(w) for at, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])
