"""What a `Report` says in words: marks, gains, peers, stages, index; the same on every page and in the terminal."""

from collections.abc import Sequence

from twotower.evaluation.report import Report
from twotower.evaluation.results import Gain, IndexCost, ModelFacts, PeerCheck, Row, SliceRow, StageGain
from twotower.evaluation.rows import RivalRow
from twotower.evaluation.slices import SLICES
from twotower.metrics.labels import CATALOGUE, metric_label
from twotower.metrics.metric import Metric, name_and_cut_off

BETTER, WORSE, ALIKE = "▲", "▼", "≈"
MARKS = f"{BETTER} better, {WORSE} worse, {ALIKE} not told apart"


def mark(report: Report, row: Row | SliceRow | RivalRow) -> str:
    """Whether a model was told apart from the other one; nothing where that was not tested.

    It is the one rule of the page: the p-value after Holm's correction lies below one minus the level.
    """
    if row.p_holm is None or row.difference is None:
        return ""
    if row.p_holm >= 1 - report.level:
        return ALIKE
    sign = Metric.parse(row.key if isinstance(row, Row) else row.metric).sign
    return BETTER if sign * row.difference > 0 else WORSE


def index_cost_line(report: Report, cost: IndexCost) -> str:
    """What the index costs a contender, in one line."""
    quality = f"index of {cost.model}: {cost.index}; {metric_label(cost.metric)} {cost.mean:.4f}"
    if cost.is_exact:
        return f"{quality}, which is that of exact retrieval: every item is compared, so the index costs nothing"
    share = "" if cost.relative is None else f"{cost.relative:+.2%}, "
    return (
        f"{quality}, with exact retrieval {cost.exact_mean:.4f}: {share}difference {cost.difference:+.5f} "
        f"({report.level:.0%} interval {cost.low:+.5f} to {cost.high:+.5f}, {_p_text(cost)})"
    )


def stage_gain_line(report: Report, gain: StageGain) -> str:
    """What a stage adds, in one line."""
    share = f"{gain.difference / gain.before_mean:+.1%}, " if gain.before_mean > 0 else ""
    return (
        f"{gain.model} beside {gain.before}: {metric_label(gain.metric)} {gain.before_mean:.4f} to {gain.mean:.4f}, "
        f"{share}difference {gain.difference:+.5f} ({report.level:.0%} interval {gain.low:+.5f} to {gain.high:+.5f}, "
        f"{_p_text(gain)}{_not_told_apart(report, gain)})"
    )


def _p_text(tested: IndexCost | StageGain) -> str:
    """The p-value after Holm, or as it is in reports of before."""
    return f"p {tested.p_value:.4f}" if tested.p_holm is None else f"p {tested.p_holm:.4f} after Holm"


def _not_told_apart(report: Report, gain: StageGain) -> str:
    p_value = gain.p_value if gain.p_holm is None else gain.p_holm
    return ": the data do not tell them apart" if p_value >= 1 - report.level else ""


def peer_line(report: Report, check: PeerCheck) -> str:
    """One check against another library, in one line."""
    verdict = f"{WORSE} weaker than" if check.weaker else "not weaker than"
    return (
        f"{check.ours} is {verdict} {check.peer}: {metric_label(check.metric)} {check.difference:+.5f} "
        f"({report.level:.0%} interval {check.low:+.5f} to {check.high:+.5f})"
    )


def weaker(report: Report) -> list[str]:
    """Lines of our methods that are weaker than those of other libraries."""
    return [peer_line(report, check) for check in report.peer_checks if check.weaker]


def peers_are_matched(report: Report) -> str:
    """One calm line where every check was passed; nothing where there was none or one failed."""
    if not report.peer_checks or weaker(report):
        return ""
    names = ", ".join(f"{check.ours} and {check.peer}" for check in report.peer_checks)
    return f"None of our methods is weaker than its counterpart of another library, as far as the data tell: {names}."


def gain_line(gain: Gain) -> str:
    """A relative gain with its interval."""
    if gain.relative is None:
        return "–"
    low, high = (f"{end:+.0%}" if end is not None else "open" for end in (gain.low, gain.high))
    return f"{gain.relative:+.1%} ({low} to {high})"


def seeds_text(model: ModelFacts, row: Row) -> str:
    """How many seeds were averaged and how far apart their means lie."""
    return f"{len(model.seeds)} seeds, sd {row.sd:.4f}" if row.sd is not None else "–"


def has_seeds(report: Report) -> bool:
    """Whether any figure is an average over seeds."""
    return any(model.seeds for model in report.models)


def catalogue_metrics(report: Report) -> list[str]:
    """Catalogue metrics that were measured, in the order of their names."""
    k = Metric.parse(report.primary).k or max(report.ks, default=0)
    return [f"{name}@{k}" for name in CATALOGUE if any(f"{name}@{k}" in model.catalogue for model in report.models)]


def catalogue_heads(report: Report) -> list[str]:
    """Heads of the catalogue's columns."""
    return [CATALOGUE[name_and_cut_off(metric)[0]][0] for metric in catalogue_metrics(report)]


def catalogue_meaning(report: Report) -> str:
    """What these columns mean."""
    columns = (CATALOGUE[name_and_cut_off(metric)[0]] for metric in catalogue_metrics(report))
    k = Metric.parse(report.primary).k or max(report.ks, default=0)
    return f"Of lists of {k}. " + " ".join(f"{head[0].upper()}{head[1:]}: {meaning}." for head, meaning in columns)


def slice_tables(report: Report) -> list[tuple[str, str, list[str], list[tuple[str, list[SliceRow]]]]]:
    """Title, meaning, heads and rows of a table for every kind of slice and metric; models best first."""
    tables = []
    for kind, metric in dict.fromkeys((row.kind, row.metric) for row in report.slices):
        rows = [row for row in report.slices if (row.kind, row.metric) == (kind, metric)]
        heads = [f"{row.name}: {row.users:,} users" for row in rows if row.model == rows[0].model]
        of = {model.name: [row for row in rows if row.model == model.name] for model in report.ranking()}
        tables.append((f"{metric_label(metric)} by {kind}", SLICES.get(kind, kind), heads, list(of.items())))
    return tables


def memory_head(report: Report) -> str:
    """Whose peak of memory a column shows."""
    return "peak memory" if report.memory_apart else "peak memory so far"


def joined(lines: Sequence[str]) -> str:
    """A Markdown list."""
    return "\n".join(f"- {line}" for line in lines)
