"""Text for people: aligned columns, Markdown tables, hints at near names, messages in one line."""

import difflib
import html
import re
from collections.abc import Container, Iterable, Sequence

Cells = Sequence[Sequence[str]]
_OBEYED = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_MOST_NAMES = 12
"""Names that a hint lists before it breaks off."""


def gib_text(n_bytes: int) -> str:
    """Bytes as GiB."""
    return f"{n_bytes / 2**30:.2f} GiB"


def printable(text: str) -> str:
    r"""A text without what a terminal would obey: control characters and marks of direction are written out.

    >>> printable("red \x1b[31m")
    'red \\x1b[31m'
    """
    return _OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def aligned(rows: Cells, *, left: Container[int] = (0,), ruled: bool = False) -> str:
    """Columns of equal width, two spaces apart.

    Args:
        rows: cells as text, equally many in each row; the first row is the head.
        left: columns that stand to the left, as names do; the others, figures, stand to the right.
        ruled: draws a line of dashes below the head.

    >>> print(aligned([["model", "map"], ["als", ".05"]], ruled=True))
    model  map
    -----  ---
    als    .05
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if at in left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([*lines[:1], "  ".join("-" * width for width in widths), *lines[1:]] if ruled else lines)


def table(rows: Cells) -> str:
    """A Markdown table; the first row is its head."""
    header, *body = ("| " + " | ".join(printable(cell).replace("|", "\\|") for cell in row) + " |" for row in rows)
    return "\n".join([header, "|---|" + "---:|" * (len(rows[0]) - 1), *body])


def html_table(rows: Cells, caption: str) -> str:
    """A small HTML table for notebooks; no cell can bring in markup of its own."""
    said = (
        "<tr>" + "".join(f"<td style='text-align:left'>{html.escape(printable(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table><caption>{html.escape(printable(caption))}</caption>{''.join(said)}</table>"


def near(name: str, known: Iterable[str]) -> str:
    """What may have been meant by a name that is not known; if nothing is near, which names there are.

    >>> near("prise", ["price", "fuel"])
    'did you mean price?'
    >>> near("colour", ["price", "fuel"])
    'there are price, fuel'
    """
    names = list(known)
    if close := difflib.get_close_matches(name, names, n=3, cutoff=0.5):
        return f"did you mean {' or '.join(close)}?"
    if not names:
        return "there are none"
    return f"there are {', '.join(names[:_MOST_NAMES])}{' …' if len(names) > _MOST_NAMES else ''}"


def one_line(message: object) -> str:
    r"""A message, or that of an error, without line breaks and control characters.

    >>> one_line(ValueError("two\n  lines"))
    'two lines'
    """
    return printable(" ".join(str(message).split()))
