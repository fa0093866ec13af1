"""`twotower refresh --run shop`: newer events, users and items for a run, without training."""

import argparse
import sys
from collections.abc import Sequence

from twotower.allowed import allow
from twotower.commands.console import run_command


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = argparse.ArgumentParser(
        "python -m twotower refresh",
        description="Reads a run's data as they are now and publishes the run as of their newest event, untrained: "
        "histories, profiles, popularity, new users and, for two_tower, new items. An index is built again.",
    )
    command.add_argument("--run", default="latest", help="name or path of the run (default: the newest)")
    command.add_argument("--plugins", metavar="MODULE", action="append", help="a module of your own models; may repeat")
    command.add_argument("--runs-dir", default="runs", help="folder of runs (default: runs)")
    command.add_argument("--as", dest="name", metavar="NAME", help="name of the refreshed run (default: the run's own)")
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    options = parser().parse_args(arguments)
    return run_command(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    allow(*(options.plugins or ()))
    from twotower.runs.bundle import Bundle
    from twotower.runs.refreshing import refresh

    done = refresh(Bundle.open(options.run, options.runs_dir), name=options.name)
    print(
        f"refreshed {done.bundle.directory}: {done.events:+,} events, {done.users:,} new users, "
        f"{done.items:,} new items"
    )
    if done.left_out:
        print(f"{done.left_out:,} new items are left out: this model recommends them only after a training")
    if done.index:
        print(f"index: {done.index} built again with its options; verify-index measures it")


if __name__ == "__main__":
    sys.exit(main())
