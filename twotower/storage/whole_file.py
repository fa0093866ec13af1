"""One file that appears whole or not at all."""

import os
from collections.abc import Callable
from pathlib import Path


def write_whole(path: Path, make: Callable[[Path], object]) -> None:
    """Makes a file beside its place, forces it to the disk, then renames: readers find the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        make(beside)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
