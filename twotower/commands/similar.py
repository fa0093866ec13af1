"""`twotower similar --item 17`: the items that a run's vectors hold to be most like one item."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence

from twotower.allowed import allow
from twotower.commands.console import run_command


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = argparse.ArgumentParser(
        "python -m twotower similar",
        description="Prints the items whose vectors are most like an item's, by cosine; of a model without vectors "
        "those that the same users touched.",
    )
    command.add_argument("--item", required=True, help="item id as in your data")
    command.add_argument("--k", type=int, default=10, help="wanted items (default: 10)")
    command.add_argument("--run", default="latest", help="name or path of the run (default: the newest)")
    command.add_argument("--plugins", metavar="MODULE", action="append", help="a module of your own models; may repeat")
    command.add_argument("--runs-dir", default="runs", help="folder of runs (default: runs)")
    command.add_argument("--where", action="append", metavar="RULE", help="catalogue rule; repeat it to join by and")
    command.add_argument("--json", action="store_true", help="print JSON")
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    options = parser().parse_args(arguments)
    return run_command(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    allow(*(options.plugins or ()))
    from twotower.runs.served_run import ServedRun
    from twotower.text import aligned

    served = ServedRun.open(options.run, options.runs_dir)
    if options.where:
        served = served.under(where=options.where)
    items = served.similar(options.item, options.k)
    if options.json:
        rows = [dataclasses.asdict(item) for item in items]
        print(json.dumps({"run": served.name, "item": options.item, "items": rows}, indent=2, ensure_ascii=False))
        return
    print(f"items most like {options.item}, run {served.name}")
    print(
        aligned(
            [["title", "item", "cosine"], *([i.title or "", str(i.item), f"{i.cosine:.4f}"] for i in items)],
            left=(0, 1),
            ruled=True,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
