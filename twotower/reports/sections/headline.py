"""Section `headline`: what was compared and which model won, first what another library does better."""

from collections.abc import Iterator, Mapping
from typing import Any

from twotower.evaluation.report import Report
from twotower.metrics.metric import Metric
from twotower.reports import candour, tables, wording
from twotower.reports.audit import audit_lines
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
            "plain": candour.plain_number(report),
            "conclusion": candour.conclusion(report),
            "leads": candour.leads(report),
            "warnings": candour.warnings(report),
            "audit": audit_lines(report),
            "competitors": report.split.get("competitors"),
            "asked": tables.times_asked(report) or " were asked once each",
            "of_lists": Metric.parse(report.primary).of_lists,
        }

    def markdown(self, report: Report, value: None) -> Iterator[str]:
        """The title; what other libraries and rivals do better stands first, then what the split decides by chance."""
        yield f"# {report.dataset['name']}: {len(report.models)} models, {report.split['name']}"
        if lines := wording.weaker(report):
            yield "**Weaker than another library:**\n\n" + wording.joined([f"**{line}**" for line in lines])
        elif matched := wording.peers_are_matched(report):
            yield matched
        lines = [candour.plain_number(report), candour.conclusion(report), *candour.leads(report)]
        lines += [*candour.warnings(report), *audit_lines(report)]
        if said := [line for line in lines if line]:
            yield wording.joined(said)
