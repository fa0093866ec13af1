"""What the audit of a split says in words, and what of it a reader must be warned of."""

from collections.abc import Mapping

from twotower.evaluation.report import Report

WORTH_SAYING = 0.01
"""Shares from which on the verdict mentions it."""
MEANINGS: Mapping[str, str] = {
    "tied_users": "users of whom a held-out event has the time of an event that is known",
    "decided_by_ties": "targets that another order of equal times would exchange (mean over all orders)",
    "older_than_learnt": "targets older than the newest event that models learn from, of whomever",
    "not_to_be_had": "targets that cannot be had when asked, which nobody can find",
    "new_items": "targets of items without any event before",
    "new_users": "users without any event before",
}
"""Fact of the audit to its meaning, in the order of the page."""


def audit_rows(report: Report) -> list[tuple[str, str, str]]:
    """Meaning, share in validation, share in the test; nothing for reports from before there was an audit."""
    audit = report.split.get("audit")
    if not audit:
        return []
    validation, test = audit["validation"], audit["test"]
    return [(meaning, _share(validation[name]), _share(test[name])) for name, meaning in MEANINGS.items()]


def audit_lines(report: Report) -> list[str]:
    """Lines on what decides figures besides the models: ties in time, what is learnt from later, what none can find."""
    test: Mapping[str, float | None] = report.split.get("audit", {}).get("test", {})
    lines = []
    if (test.get("tied_users") or 0) >= WORTH_SAYING:
        lines.append(
            f"{_share(test['tied_users'])} of the users have a held-out event at the very time of a known one: the "
            f"order of the file alone decides {_share(test['decided_by_ties'])} of the targets{_other_order(report)}."
        )
    if (test.get("older_than_learnt") or 0) >= WORTH_SAYING:
        lines.append(
            f"{_share(test['older_than_learnt'])} of the targets are older than the newest event that models learn "
            "from: figures are of next items, not of a forecast."
        )
    if (test.get("not_to_be_had") or 0) >= WORTH_SAYING:
        lines.append(
            f"{_share(test['not_to_be_had'])} of the targets could not be had when asked, so no model can find them."
        )
    return lines


def _other_order(report: Report) -> str:
    """What the other order gives, or how to ask for it."""
    rows = [row for row in report.other_order if row.model == report.hero().name]
    if not rows:
        return " (eval.both_orders=true measures the other order, too)"
    return f"; in the opposite order {rows[0].model} reaches {rows[0].reversed_mean:.4f} instead of {rows[0].mean:.4f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
