"""A `BenchmarkTable` as text: for the terminal, as Markdown and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from twotower.benchmarks.pooling import BenchmarkTable, TableRow
from twotower.data.split import FULL_CATALOGUE
from twotower.evaluation.results import PeerCheck
from twotower.metrics.labels import metric_label
from twotower.text import aligned, gib_text
from twotower.text import table as markdown_table

FORMAT = 1
"""Version of `benchmark.json`."""
RED, PLAIN = "\033[31m", "\033[0m"
NONE = "–"


def cells_of(table: BenchmarkTable) -> list[list[str]]:
    """The table as rows of texts, the header first."""
    header = ["model", metric_label(table.primary), "interval", *(metric_label(m) for m in table.metrics[1:])]
    header += [f"vs {table.baseline}" if table.baseline else "vs baseline", "p (Holm)", "seeds", "± sd", "trials"]
    header += ["tuning s", "train s", "users/s", "peak memory", "parameters"]
    return [header, *([*_quality(table, row), *_cost(row)] for row in table.rows)]


def _quality(table: BenchmarkTable, row: TableRow) -> list[str]:
    if not row.figures:
        return [row.name, *[NONE] * (len(table.metrics) + 3)]
    difference = "baseline" if row.name == table.baseline else NONE
    if row.difference is not None:
        difference = f"{row.difference:+.4f}"
    return [
        row.name,
        f"{row.figures[table.primary]:.4f}",
        f"{row.low:.4f}–{row.high:.4f}",
        *(f"{row.figures[metric]:.4f}" for metric in table.metrics[1:]),
        difference,
        NONE if row.p_holm is None else f"{row.p_holm:.4f}",
    ]


def _cost(row: TableRow) -> list[str]:
    if not row.figures:
        return [f"0 of {len(row.errors)}", *[NONE] * 7]
    planned = len(row.seeds) + len(row.errors)
    return [
        f"{len(row.seeds)} of {planned}" if row.errors else str(planned),
        NONE if row.sd is None else f"{row.sd:.4f}",
        str(row.trials),
        f"{row.tune_seconds:,.1f}",
        f"{row.fit_seconds:,.1f}",
        f"{row.users_per_second:,.0f}",
        gib_text(row.peak_memory_bytes or 0),
        f"{row.parameters:,}",
    ]


def subject_line(table: BenchmarkTable) -> str:
    """What the figures are about."""
    about = table.subject
    if not about:
        return f"{table.data}: no model has figures"
    competitors = about["competitors"]
    if competitors == FULL_CATALOGUE:
        competitors = f"full catalogue of {about['items']:,}"
    return (
        f"{about['name']} · {about['split']} · {about['asked']:,} users, {about['targets']:,} targets · {competitors}, "
        "known positives excluded"
    )


def error_lines(table: BenchmarkTable) -> list[str]:
    """One line for every seed that has no figures."""
    return [f"{row.name}, seed {seed}: {error}" for row in table.rows for seed, error in row.errors.items()]


def peer_line(peer: PeerCheck, table: BenchmarkTable) -> str:
    """Whether our counterpart of a peer is weaker."""
    figures = (
        f"{metric_label(table.primary)} {peer.difference:+.4f} "
        f"({table.level:.0%} interval of the paired difference {peer.low:+.4f} to {peer.high:+.4f})"
    )
    verdict = "WEAKER" if peer.weaker else "stronger" if peer.stronger else "not weaker"
    return f"{peer.peer}: our {peer.ours} is {verdict}: {figures}"


def terminal(tables: Sequence[BenchmarkTable], *, colour: bool) -> str:
    """All tables for a terminal; what is weaker stands in red where colours are shown."""
    parts = []
    for table in tables:
        lines = [subject_line(table), "", aligned(cells_of(table), ruled=True)]
        for heading, notes in (("errors", error_lines(table)), ("peers", _coloured(table, colour))):
            lines += ["", f"{heading}:", *(f"  {line}" for line in notes)] if notes else []
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _coloured(table: BenchmarkTable, colour: bool) -> list[str]:
    lines = ((peer.weaker and colour, peer_line(peer, table)) for peer in table.peers)
    return [f"{RED}{line}{PLAIN}" if red else line for red, line in lines] + _unchecked(table)


def _unchecked(table: BenchmarkTable) -> list[str]:
    return [f"{peer}: not compared: {reason}" for peer, reason in table.unchecked.items()]


def markdown(tables: Sequence[BenchmarkTable]) -> str:
    """All tables as one page; a weaker counterpart is marked in red."""
    parts = ["# Benchmark"]
    for table in tables:
        parts += [f"## {table.data}", subject_line(table), markdown_table(cells_of(table)), _note(table)]
        for heading, notes in (("Errors", error_lines(table)), ("Peers", _marked(table))):
            parts += [f"### {heading}", "\n".join(f"- {line}" for line in notes)] if notes else []
        parts += ["\n".join(f"- {what}: {_words(facts)}" for what, facts in table.environment.items())]
    return "\n\n".join(part for part in parts if part) + "\n"


def _marked(table: BenchmarkTable) -> list[str]:
    lines = ((peer.weaker, peer_line(peer, table)) for peer in table.peers)
    return [f"🔴 **{line}**" if weaker else line for weaker, line in lines] + _unchecked(table)


def _note(table: BenchmarkTable) -> str:
    against = f"Differences are from `{table.baseline}`: " if table.baseline else "No row is the baseline. "
    return (
        f"Intervals: {table.level:.0%} bootstrap over users ({table.resamples:,} resamples) of each user's mean over "
        f"seeds. {against}paired permutation test, p corrected by Holm for the rows. ± sd: between the means of the "
        "seeds. tuning s: all trials of the one search that the seeds share. Peak memory: of the process that fitted "
        "and was examined, the largest of the seeds. Parameters: learnt numbers."
    )


def _words(facts: object) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items()) if isinstance(facts, dict) else str(facts)


def to_json(tables: Sequence[BenchmarkTable]) -> str:
    """All tables for machines."""
    plain = [asdict(table) for table in tables]
    return json.dumps({"format": FORMAT, "tables": plain}, indent=2, allow_nan=False, default=str) + "\n"
