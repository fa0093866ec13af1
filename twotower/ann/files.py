"""Files of a saved index: described with size and digest, and compared with that before any loader sees them."""

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twotower.ann.vectors import digest_of_rows
from twotower.errors import BundleError, IndexMismatch
from twotower.storage import atomic
from twotower.storage.ours import MARK
from twotower.types import Floats

FACTS = "index.json"
_OWN = "sha256"


def backend_of(index: type) -> str:
    """The name of an index's class, as files and manifests say it."""
    return f"{index.__module__}.{index.__qualname__}"


def write_facts(directory: Path, index: type, facts: Mapping[str, Any], shared: Floats | None) -> None:
    """Writes `index.json`: the facts, every file of the directory with size and SHA-256, and its own SHA-256.

    Args:
        directory: where the other files lie already.
        index: the class that saves.
        facts: what `load` needs to know.
        shared: vectors that are not written because the caller keeps them. Shape [N, D].

    Raises:
        BundleError: a file was written in part only.
    """
    present = [path for path in sorted(directory.iterdir()) if path.is_file() and path.name != MARK]
    files = {path.name: atomic.described(path) for path in present}
    borrowed = None if shared is None else digest_of_rows(shared)
    whole = {"backend": backend_of(index), **facts, "shared": borrowed, "files": files}
    (directory / FACTS).write_text(json.dumps({_OWN: atomic.sha256_of_json(whole), **whole}, indent=2) + "\n")


def read_facts(directory: Path, index: type) -> dict[str, Any]:
    """Reads `index.json`, without looking at the other files.

    Args:
        directory: where it lies.
        index: the class that is to be loaded.

    Raises:
        BundleError: it is missing or damaged.
        IndexMismatch: another class saved it, or one of another version that had other options.
    """
    path = directory / FACTS
    try:
        facts: dict[str, Any] = json.loads(path.read_text())
        own = facts.pop(_OWN)
    except FileNotFoundError:
        raise BundleError(f"{path} is missing: no index lies there; build one with `make build-index`") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError(f"{path} is damaged ({error}); build the index again") from error
    if own != atomic.sha256_of_json(facts):
        raise BundleError(f"{path} is damaged: its content has another SHA-256 than it says; build the index again")
    if facts.get("backend") != backend_of(index):
        raise IndexMismatch(
            f"{directory} holds an index of {facts.get('backend')}, asked for was {backend_of(index)}; "
            "load it with the class that saved it, or build it again"
        )
    unknown = set(facts["options"]) - set(inspect.signature(index).parameters)
    if unknown:
        raise IndexMismatch(
            f"{directory} was saved with {', '.join(sorted(unknown))}, which this version of {index.__name__} does not "
            "have; build the index again"
        )
    return facts


def check_files(directory: Path, facts: Mapping[str, Any]) -> None:
    """Compares every file with the facts, cheap sizes first.

    Raises:
        BundleError: a file is missing, or is not what was saved.
    """
    for name, saved in facts["files"].items():
        path = directory / name
        size = path.stat().st_size if path.is_file() else None
        if size != saved["size"]:
            raise BundleError(f"{path} has {size} bytes, saved were {saved['size']}; build the index again")
    for name, saved in facts["files"].items():
        digest = atomic.sha256_of(directory / name)
        if digest != saved["sha256"]:
            raise BundleError(
                f"{directory / name} is damaged: SHA-256 {digest[:8]}…, saved was {saved['sha256'][:8]}…; "
                "build the index again"
            )


def checked_shared(directory: Path, facts: Mapping[str, Any], shared: Floats | None, *, by_digest: bool) -> Floats:
    """The vectors that an index was saved without, if they are the ones that it was built from. Shape [N, D].

    Raises:
        BundleError: none were given.
        IndexMismatch: they have another shape or, where digests are compared, other numbers.
    """
    if shared is None:
        raise BundleError(f"{directory}: the index was saved without its vectors; give them to load as `shared`")
    built = (facts["count"], facts["dim"])
    if shared.shape != built:
        raise IndexMismatch(
            f"{directory}: the index was built from vectors of shape {built}, given were {shared.shape}; "
            "build the index again"
        )
    digest = digest_of_rows(shared) if by_digest else facts["shared"]
    if digest != facts["shared"]:
        raise IndexMismatch(
            f"{directory}: the index was built from vectors with SHA-256 {facts['shared'][:8]}…, "
            f"given were {digest[:8]}…; build the index again"
        )
    return shared
