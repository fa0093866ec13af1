"""One file that appears whole or not at all: written beside its place, forced to the disk, renamed."""

import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

Made = TypeVar("Made")


def write_whole(path: Path, make: Callable[[Path], Made]) -> Made:
    """Makes a file beside its place, forces it to the disk, then renames: readers find the old or the new one.

    Args:
        path: where the file shall lie; its folder is made if needed.
        make: writes the path that it is given, whose suffix is that of `path`.

    Returns:
        What `make` returned.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # a random name, since processes of several machines may write one shared folder
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part{path.suffix}")
    try:
        made = make(beside)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return made


def write_whole_text(path: Path, text: str) -> None:
    """Writes a text in UTF-8, whole or not at all."""
    write_whole(path, lambda beside: beside.write_text(text, encoding="utf-8"))


def write_whole_json(path: Path, value: Any) -> None:
    """Writes a value as JSON for people and machines, whole or not at all."""
    write_whole_text(path, json.dumps(value, indent=2) + "\n")


def remove_parts(directory: Path) -> None:
    """Removes what killed `write_whole`s left in a folder; to be called where no other process writes into it."""
    for part in directory.glob(".*.part*"):
        part.unlink(missing_ok=True)
