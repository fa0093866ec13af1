"""A `Report` as a Markdown page: the models first, then what was compared, sliced and spent."""

from collections.abc import Iterator, Mapping
from typing import Any

from twotower.evaluation.families import FAMILIES
from twotower.evaluation.report import Report
from twotower.evaluation.results import ModelFacts
from twotower.metrics.labels import metric_label, metric_meaning
from twotower.metrics.metric import Metric
from twotower.reports import tables, wording
from twotower.text import gib_text, table


def markdown(report: Report) -> str:
    """The whole report as one page."""
    parts = [
        f"# {report.dataset['name']}: {len(report.models)} models, {report.split['name']}",
        *_peers(report),
        _conditions(report),
        f"## {metric_label(report.primary)}",
        f"{metric_meaning(report.primary)} Intervals: {report.level:.0%} bootstrap over users "
        f"({report.resamples:,} resamples). {tables.test_note(report)} {wording.MARKS}.",
        _primary_table(report),
        *_gains(report),
        *_stages(report),
        *_slices(report),
    ]
    for metric in report.metrics:
        parts += [f"## {metric_label(metric)}", metric_meaning(metric), _metric_table(report, metric)]
    if report.ks:
        parts += ["## Catalogue", wording.catalogue_meaning(report), _catalogue_table(report)]
    parts += _calibration(report)
    parts += ["## Cost", _cost_table(report), "## Options", _options(report)]
    return "\n\n".join(parts) + "\n"


def _peers(report: Report) -> Iterator[str]:
    """What other libraries do better stands first."""
    if found := wording.weaker(report):
        yield "**Weaker than another library:**\n\n" + wording.joined([f"**{line}**" for line in found])
    elif matched := wording.peers_are_matched(report):
        yield matched


def _conditions(report: Report) -> str:
    data, split = report.dataset, report.split
    validation, test = split["validation"], split["test"]
    memory = gib_text(report.peak_memory_bytes)
    facts = [
        f"Data: {data['users']:,} users, {data['items']:,} items, {data['events']:,} events; "
        f"fingerprint `{data['fingerprint'][:16]}`",
        f"Split `{split['name']}`: {split['train_events']:,} training events; validation {validation['users']:,} users "
        f"with {validation['targets']:,} targets; test {test['users']:,} users with {test['targets']:,} targets",
        f"Every user with a test target is asked once: {tables.competitors(report)}; known positives are excluded",
        f"Seed {report.seed}; {report.wall_seconds:,.0f} s in all; peak memory {memory}",
        "Machine: " + ", ".join(f"{name} {value}" for name, value in report.machine.items()),
        "Versions: " + ", ".join(f"{name} {value}" for name, value in report.versions.items()),
        f"Made {report.created}",
    ]
    return wording.joined(facts)


def _primary_table(report: Report) -> str:
    seeds = ["seeds"] if wording.has_seeds(report) else []
    heads = [metric_label(report.primary), f"{report.level:.0%} interval", "vs baseline", "p (Holm)", "validation"]
    rows = [["model", *heads, "trials", *seeds]]
    for model in report.ranking():
        row = report.row(model.name, report.primary)
        gain = f"{tables.gain_text(report, row)} {wording.mark(report, row)}".strip()
        cells = [f"{row.mean:.4f}", tables.interval_text(row), gain, tables.p_text(row), _best(model)]
        rows.append([model.name, *cells, tables.trials_text(model), *(wording.seeds_text(model, row) for _ in seeds)])
    return table(rows)


def _gains(report: Report) -> Iterator[str]:
    hero = report.hero().name
    found = {(gain.against, gain.metric): gain for gain in report.gains if gain.model == hero}
    if not found:
        return
    metrics = list(dict.fromkeys(metric for _, metric in found))
    rows = [["against", *map(metric_label, metrics)]]
    others = dict.fromkeys(other for other, _ in found)
    rows += [[other, *(wording.gain_line(found[other, metric]) for metric in metrics)] for other in others]
    yield f"## Relative gain of {hero}"
    yield f"Ratio of the means minus one, with the {report.level:.0%} bootstrap interval of that ratio."
    yield table(rows)


def _stages(report: Report) -> Iterator[str]:
    if report.stage_gains:
        yield "## What RankNet adds"
        yield wording.joined([wording.stage_gain_line(report, gain) for gain in report.stage_gains])
    if report.index_costs:
        yield "## What the index costs"
        yield wording.joined([wording.index_cost_line(report, cost) for cost in report.index_costs])


def _slices(report: Report) -> Iterator[str]:
    """A table per kind of slice and metric: models down, slices across."""
    if report.slices:
        yield "## Slices"
        yield f"Marks against {report.baseline or 'no baseline'}, after Holm over all models and slices of a table."
    for title, meaning, heads, rows in wording.slice_tables(report):
        yield f"### {title}\n\n{meaning}"
        cells = [[name, *(f"{row.mean:.4f} {wording.mark(report, row)}".strip() for row in of)] for name, of in rows]
        yield table([["model", *heads], *cells])


def _metric_table(report: Report, metric: str) -> str:
    keys = report.keys(metric)
    rows = [["model", *tables.cut_off_heads(report, metric)]]
    for model in report.measured(metric):
        cells = [report.row(model.name, key) for key in keys]
        rows.append([model.name, *(f"{row.mean:.4f} ({row.low:.4f}–{row.high:.4f})" for row in cells)])
    return table(rows)


def _catalogue_table(report: Report) -> str:
    rows = [[model.name, *tables.catalogue_of(report, model)] for model in report.ranking()]
    return table([["model", *wording.catalogue_heads(report)], *rows])


def _calibration(report: Report) -> Iterator[str]:
    found = report.calibration
    if found is None:
        return
    yield f"## Calibration of {found.scorer}"
    yield f"Expected calibration error {found.ece:.5f} over {sum(found.pairs):,} pairs of user and candidate."
    bins = zip(found.predicted, found.observed, found.pairs, strict=True)
    yield table([["predicted", "observed", "pairs"], *([f"{p:.5f}", f"{o:.5f}", f"{n:,}"] for p, o, n in bins)])


def _cost_table(report: Report) -> str:
    heads = ["family", "trials", "tuning", "last fit", "evaluation", "users/s", wording.memory_head(report)]
    return table(
        [["model", *heads], *([m.name, FAMILIES.get(m.family, m.family), *tables.costs_of(m)] for m in report.models)]
    )


def _options(report: Report) -> str:
    return wording.joined([f"`{model.name}`: {_plain(model.options)}{_border(model)}" for model in report.ranking()])


def _border(model: ModelFacts) -> str:
    """Says where a search was too narrow."""
    names = ", ".join(f"`{name}`" for name in model.at_border)
    return f"; best at the border of what was tried, so let it grow: {names}" if names else ""


def _plain(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in options.items()) or "no options"


def _best(model: ModelFacts) -> str:
    scores = [trial["score"] for trial in model.trials if trial["score"] is not None]
    best = min if model.tuned_on and Metric.parse(model.tuned_on).better == "lower" else max
    return f"{best(scores):.4f}" if scores else "–"
