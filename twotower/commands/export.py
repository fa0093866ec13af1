"""`twotower export --onnx RUN`: towers and RankNet of a run as ONNX graphs, with what goes into them."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from twotower.allowed import allow
from twotower.commands.console import run_command


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = argparse.ArgumentParser(
        "python -m twotower export",
        description="Writes towers and RankNet of a two_tower run as ONNX graphs (extra onnx): item.onnx, user.onnx, "
        "rank.onnx, inputs.json, and the encoded catalogue and users as items.npz and users.npz.",
    )
    command.add_argument("--onnx", metavar="RUN", required=True, help="name or path of the run, e.g. latest")
    command.add_argument("--out", metavar="FOLDER", help="a new folder (default: onnx/<run>)")
    command.add_argument("--plugins", metavar="MODULE", action="append", help="a module of your own models; may repeat")
    command.add_argument("--runs-dir", default="runs", help="folder of runs (default: runs)")
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    options = parser().parse_args(arguments)
    return run_command(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    allow(*(options.plugins or ()))
    from twotower.runs.bundle import Bundle
    from twotower.runs.exporting import export_onnx

    bundle = Bundle.open(options.onnx, options.runs_dir)
    folder = Path(options.out or Path("onnx") / bundle.name)
    graphs = export_onnx(bundle, folder)
    names = ", ".join(f"{name}.onnx" for name in graphs)
    print(f"exported {folder}: {names}; inputs.json says what goes into them")


if __name__ == "__main__":
    sys.exit(main())
