"""The manifest of a published directory: every file with its size and SHA-256, written last and checked first."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twotower.errors import BundleError
from twotower.storage import atomic

FORMAT = 3
MANIFEST = "manifest.json"
UNCOVERED = frozenset(
    (MANIFEST, "index", "logs", "checkpoints", "figures", "report.html", "report.json", "report.md", ".lock")
)
"""Names at the top of a run that come and go after it is published; the index has a manifest of its own."""


def read_manifest(directory: Path) -> dict[str, Any]:
    """What was said of a directory when it was published.

    Raises:
        BundleError: there is no manifest (half written), or it is damaged or of a foreign format.
    """
    path = directory / MANIFEST
    if not path.exists():
        raise BundleError(f"{directory} is half written (no {MANIFEST}); remove it and make it again")
    try:
        manifest = dict(json.loads(path.read_text()))
        version = manifest["format"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(
            f"{path} is damaged ({type(error).__name__}: {error}); make {directory.name} again"
        ) from error
    if version != FORMAT:
        raise BundleError(f"{path} has format {version}, this version of twotower reads {FORMAT}; train again with it")
    if manifest.pop("sha256", None) != atomic.sha256_of_json(manifest):
        raise BundleError(f"{path} is damaged: its content is not what was published; make {directory.name} again")
    return manifest


def write_manifest(directory: Path, facts: Mapping[str, Any]) -> None:
    """Describes every file, then forces all of it to the disk.

    Raises:
        BundleError: a file was written in part only.
    """
    files = {
        path.relative_to(directory).as_posix(): atomic.described(path)
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.relative_to(directory).parts[0] not in UNCOVERED
    }
    created = datetime.now(UTC).isoformat(timespec="seconds")
    manifest = {"format": FORMAT, "created": created, **facts, "files": files}
    manifest["sha256"] = atomic.sha256_of_json(manifest)
    (directory / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    atomic.sync_tree(directory)


def verify(directory: Path, manifest: Mapping[str, Any]) -> None:
    """Compares every file with the manifest, cheap sizes first.

    Raises:
        BundleError: a file is missing or is not what was published.
    """
    files: Mapping[str, Any] = manifest["files"]
    for name, published in files.items():
        path = directory / name
        if not path.is_file():
            raise BundleError(f"{path} is missing; {directory.name} is incomplete, make it again")
        if path.stat().st_size != published["size"]:
            raise _damaged(path, "bytes", published["size"], path.stat().st_size)
    for name, published in files.items():
        digest = atomic.sha256_of(directory / name)
        if digest != published["sha256"]:
            raise _damaged(directory / name, "SHA-256", f"{published['sha256'][:8]}…", f"{digest[:8]}…")


def _damaged(path: Path, what: str, published: object, actual: object) -> BundleError:
    remedy = "run `make build-index`" if path.parent.name == "index" else "restore it or train again"
    return BundleError(f"{path} is damaged: {what} {actual}, published with {published}; {remedy}")
