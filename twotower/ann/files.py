"""Files of a saved index: described with size and digest, and compared with that before any loader sees them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twotower import atomic
from twotower.errors import BundleError

FACTS = "index.json"
_OWN = "sha256"


def write_facts(directory: Path, facts: Mapping[str, Any]) -> None:
    """Writes `index.json`: the facts, every file of the directory with size and SHA-256, and its own SHA-256."""
    files = {
        path.name: {"size": path.stat().st_size, "sha256": atomic.sha256_of(path)}
        for path in sorted(directory.iterdir())
        if path.is_file()
    }
    whole = {**facts, "files": files}
    (directory / FACTS).write_text(json.dumps({_OWN: atomic.sha256_of_json(whole), **whole}, indent=2) + "\n")


def read_facts(directory: Path) -> dict[str, Any]:
    """Reads `index.json`, without looking at the other files.

    Raises:
        BundleError: it is missing or damaged.
    """
    path = directory / FACTS
    try:
        facts: dict[str, Any] = json.loads(path.read_text())
        own = facts.pop(_OWN)
    except FileNotFoundError:
        raise BundleError(f"{path} is missing: no index lies there; build one with `make build-index`") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{path} is damaged ({error}); build the index again") from error
    if own != atomic.sha256_of_json(facts):
        raise BundleError(f"{path} is damaged: its content has another SHA-256 than it says; build the index again")
    return facts


def check_files(directory: Path, facts: Mapping[str, Any]) -> None:
    """Compares every file with the facts, cheap sizes first.

    Raises:
        BundleError: a file is missing, or is not what was saved.
    """
    for name, said in facts["files"].items():
        path = directory / name
        size = path.stat().st_size if path.is_file() else None
        if size != said["size"]:
            raise BundleError(f"{path} has {size} bytes, saved were {said['size']}; build the index again")
    for name, said in facts["files"].items():
        found = atomic.sha256_of(directory / name)
        if found != said["sha256"]:
            raise BundleError(
                f"{directory / name} is damaged: SHA-256 {found[:8]}…, saved was {said['sha256'][:8]}…; "
                "build the index again"
            )
