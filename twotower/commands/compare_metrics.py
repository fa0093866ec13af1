"""`python -m twotower compare-metrics`: how the same list scores under each library's definition of the same name."""

import argparse
import sys
from collections.abc import Sequence

from twotower.commands.console import run_command
from twotower.text import aligned

DESCRIPTION = """Prints how one ranked list scores under the definitions that libraries and papers give to
"MAP@k" and its neighbours. The default is a list of six with hits at ranks 1, 3 and 6, of five relevant items."""


def compare_metrics(hits: Sequence[int], relevant: int, length: int, ks: Sequence[int]) -> str:
    """The table as text.

    Args:
        hits: ranks of the hits, from 1.
        relevant: relevant items, found or not.
        length: places of the list.
        ks: cut-offs.

    Raises:
        BadInput: ranks outside the list, or more hits than relevant items.
        BadConfig: a cut-off below 1.
    """
    from twotower.metrics.definitions import hits_at, scores

    definitions = scores(hits_at(hits, length), relevant, ks)
    rows = [["library", "its name", *(f"k={k}" for k in ks), "here", "formula"]]
    rows += [
        [d.library, d.name, *(f"{value:.4f}" for value in values), d.same_as, d.formula] for d, values in definitions
    ]
    list_text = f"hits at ranks {', '.join(map(str, sorted(hits))) or 'none'} of {length}; {relevant} relevant items"
    return f"{list_text}\n\n{aligned(rows, left=range(len(rows[0])))}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="twotower compare-metrics", description=DESCRIPTION)
    parser.add_argument("--hits", type=int, nargs="*", default=[1, 3, 6], metavar="RANK", help="ranks of the hits")
    parser.add_argument("--relevant", type=int, default=5, metavar="N", help="relevant items, found or not")
    parser.add_argument("--length", type=int, metavar="N", help="places of the list; default: up to the last hit")
    parser.add_argument("--k", type=int, nargs="+", default=[3, 10], metavar="K", help="cut-offs")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    options = _parser().parse_args(sys.argv[1:] if arguments is None else list(arguments))
    length = max(options.hits, default=0) if options.length is None else options.length
    return run_command(lambda: print(compare_metrics(options.hits, options.relevant, length, options.k)))


if __name__ == "__main__":
    sys.exit(main())
