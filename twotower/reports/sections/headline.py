"""Section `headline`: what was compared and which model won, first what another library does better."""

from collections.abc import Iterator, Mapping
from typing import Any

from twotower.evaluation.report import Report
from twotower.evaluation.results import Row
from twotower.metrics.metric import Metric
from twotower.reports import tables, wording
from twotower.reports.section import Section
from twotower.reports.verdict import gains_of, verdict_of


class Headline(Section[None]):
    """The title, and the verdict in a few sentences."""

    name = "headline"

    def words(self, report: Report, value: None) -> Mapping[str, Any]:
        """Our contender, its gains over the others, and what the test says."""
        verdict = verdict_of(report)
        return {
            "verdict": verdict,
            "gains": gains_of(report, verdict),
            "cut_offs": tables.cut_offs(report, verdict.row.metric),
            "conclusion": _conclusion(report, verdict.row),
            "competitors": report.split.get("competitors"),
            "asked": tables.times_asked(report) or " were asked once each",
            "of_lists": Metric.parse(report.primary).of_lists,
        }

    def markdown(self, report: Report, value: None) -> Iterator[str]:
        """The title; what other libraries do better stands first."""
        yield f"# {report.dataset['name']}: {len(report.models)} models, {report.split['name']}"
        if lines := wording.weaker(report):
            yield "**Weaker than another library:**\n\n" + wording.joined([f"**{line}**" for line in lines])
        elif matched := wording.peers_are_matched(report):
            yield matched


def _conclusion(report: Report, row: Row) -> str:
    """What the test against the baseline says, in words."""
    if row.p_holm is None or row.difference is None:
        return ""
    if row.p_holm >= 1 - report.level:
        return f"Chance alone explains the difference from {report.baseline} (p {row.p_holm:.4f} after Holm)."
    return f"Chance hardly explains the difference from {report.baseline} (p {row.p_holm:.4f} after Holm)."
