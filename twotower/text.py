"""Text for people: aligned columns, Markdown tables, hints at near names, one-line messages."""

import difflib
from collections.abc import Sequence

Cells = Sequence[Sequence[str]]


def gib_text(n_bytes: int) -> str:
    """Bytes as GiB."""
    return f"{n_bytes / 2**30:.2f} GiB"


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


def table(rows: Cells) -> str:
    """A Markdown table; the first row is its head."""
    header, *body = ("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
    return "\n".join([header, "|---|" + "---:|" * (len(rows[0]) - 1), *body])


def near(name: object, known: Sequence[str], n: int = 1) -> str:
    """The end of a message about an unknown name: the nearest that there are, or all of them.

    >>> near("alfa", ["alpha", "l2"]), near("zzz", ["alpha", "l2"])
    ('; did you mean alpha?', '; there are alpha, l2')
    """
    found = difflib.get_close_matches(str(name), known, n=n, cutoff=0.5)
    if found:
        return f"; did you mean {' or '.join(found)}?"
    return f"; there are {', '.join(known)}" if known else "; there are none"
