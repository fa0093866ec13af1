"""`Verdict`: our contender beside those that matter most; several sections of a report show the same ones."""

from collections.abc import Mapping
from dataclasses import dataclass

from twotower.evaluation.families import HEADLINES, OURS
from twotower.evaluation.report import Report
from twotower.evaluation.results import Gain, Row
from twotower.metrics.metric import Metric
from twotower.reports.wording import ALIKE, mark

MAX_PEERS = 4
"""Others in the first figure, and as many runs beside ours; the tables hold all."""
_SHORT = {"cf": "CF", "hybrid": "hybrid"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a manager reads: our contender beside the others.

    Attributes:
        ours: our best contender that answers in service.
        row: its primary metric.
        peers: the others, best first: the best of every family in `HEADLINES` and the baseline always among them.
        called: ours and the others, to the name with what it is.
        behind: the other one whose figure is better, if one's is.
        behind_is_sure: whether the data tell the two apart.
    """

    ours: str
    row: Row
    peers: tuple[str, ...]
    called: Mapping[str, str]
    behind: str | None
    behind_is_sure: bool = False


def verdict_of(report: Report) -> Verdict:
    """Our contender and those that stand beside it in the first figure."""
    ranked, hero, foreign = report.ranking(), report.hero(), report.foreign()
    roles: dict[str, list[str]] = {}
    for family in HEADLINES:
        best = next((model.name for model in foreign if model.family == family), None)
        if best is not None:
            roles.setdefault(best, []).append(f"best {_SHORT[family]}")
    if report.baseline is not None and report.baseline != hero.name:
        roles.setdefault(report.baseline, []).append("baseline")
    siblings = [model.name for model in ranked if model.family == OURS and model.name != hero.name][:MAX_PEERS]
    shown = [*roles, *(name for name in siblings if name not in roles)]
    shown += [model.name for model in foreign if model.name not in shown][: max(0, MAX_PEERS - len(shown))]
    peers = tuple(model.name for model in ranked if model.name in shown)
    mine = f"{hero.name} (ours)" if hero.family == OURS else hero.name
    called = {name: f"{name} ({', '.join(roles[name])})" if name in roles else name for name in peers}
    better = foreign[0].name if foreign and ranked.index(foreign[0]) < ranked.index(hero) else None
    row = report.row(hero.name, report.primary)
    return Verdict(hero.name, row, peers, {hero.name: mine, **called}, better, _is_sure(report, better))


def _is_sure(report: Report, better: str | None) -> bool:
    """Whether the data tell ours apart from a better one; where they were not tested, the figures alone speak."""
    tested = [row for row in report.rivals if (row.rival, row.metric) == (better, report.primary)]
    return better is not None and not any(mark(report, row) == ALIKE for row in tested)


def gains_of(report: Report, verdict: Verdict) -> list[tuple[str, list[Gain]]]:
    """Relative gains of ours over each of the others, at every cut-off; nothing where the report has none."""
    gains = {(gain.against, gain.metric): gain for gain in report.gains if gain.model == verdict.ours}
    metrics = [str(metric) for metric in Metric.parse(report.primary).over(report.ks)]
    return [
        (peer, [gains[peer, metric] for metric in metrics])
        for peer in verdict.peers
        if all((peer, metric) in gains for metric in metrics)
    ]
