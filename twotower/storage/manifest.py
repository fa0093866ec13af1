"""The manifest of a published directory: every file with its size and SHA-256, written last and checked first."""

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from twotower.errors import BundleError, TwoTowerError
from twotower.storage import atomic
from twotower.storage.ours import MANIFEST as MANIFEST
from twotower.storage.ours import MARK, files_in, strangers
from twotower.text import one_line

FORMAT = 3
UNCOVERED = frozenset(
    (MANIFEST, MARK, "index", "logs", "checkpoints", "figures", "report.html", "report.json", "report.md", ".lock")
)
"""Names at the top of a run that come and go after it is published; the index has a manifest of its own."""


def read_manifest(directory: Path) -> dict[str, Any]:
    """What was said of a directory when it was published.

    Raises:
        BundleError: there is no manifest (half written), or it is damaged or of a foreign format.
    """
    path = directory / MANIFEST
    if not path.exists():
        raise BundleError(
            f"{directory} is half written, or nothing that twotower published (no {MANIFEST}); name another"
        )
    try:
        manifest = dict(json.loads(path.read_text(encoding="utf-8")))
        version, files = manifest["format"], manifest["files"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(
            f"{path} is damaged ({type(error).__name__}: {one_line(error)}); make {directory.name} again"
        ) from error
    if version != FORMAT:
        raise BundleError(f"{path} has format {version!r}, this version of twotower reads {FORMAT}; make it again")
    if manifest.pop("sha256", None) != atomic.sha256_of_json(manifest):
        raise BundleError(f"{path} is damaged: its content is not what was published; make {directory.name} again")
    if not isinstance(files, Mapping) or not all(_is_entry(name, facts) for name, facts in files.items()):
        raise BundleError(f"{path} lists files in another way than twotower does; make {directory.name} again")
    return manifest


def _is_entry(name: str, facts: object) -> bool:
    """A file inside the directory, its size and its digest."""
    inside = not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts and "\\" not in name
    return (
        inside
        and isinstance(facts, Mapping)
        and isinstance(facts.get("size"), int)
        and isinstance(facts.get("sha256"), str)
    )


def write_manifest(directory: Path, facts: Mapping[str, Any], *, uncovered: Collection[str] = UNCOVERED) -> None:
    """Describes every file, then forces all of it to the disk.

    Args:
        directory: what was written.
        facts: further entries.
        uncovered: names at its top that are left out.

    Raises:
        BundleError: a file was written in part only.
    """
    files = {
        path.relative_to(directory).as_posix(): atomic.described(path)
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.relative_to(directory).parts[0] not in {MANIFEST, MARK, *uncovered}
    }
    created = datetime.now(UTC).isoformat(timespec="seconds")
    manifest = {"format": FORMAT, "created": created, **facts, "files": files}
    manifest["sha256"] = atomic.sha256_of_json(manifest)
    (directory / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    atomic.sync_tree(directory)


def verify(directory: Path, manifest: Mapping[str, Any], remedy: str = "restore it or train again") -> None:
    """Compares every file with the manifest, cheap sizes first.

    Args:
        directory: where they lie.
        manifest: what was said of them.
        remedy: what may be done about a damage, where the directory is no index.

    Raises:
        BundleError: a file is missing, is a link, or is not what was published.
    """
    files: Mapping[str, Any] = manifest["files"]
    for name, published in files.items():
        path = directory / name
        if not path.is_file():
            raise BundleError(f"{path} is missing; {directory.name} is incomplete; {remedy}")
        if path.stat().st_size != published["size"]:
            raise _damaged(path, "bytes", published["size"], path.stat().st_size, remedy)
    for name, published in files.items():
        digest = atomic.sha256_of(directory / name)
        if digest != published["sha256"]:
            raise _damaged(directory / name, "SHA-256", f"{published['sha256'][:8]}…", f"{digest[:8]}…", remedy)


def refuse_more(directory: Path, uncovered: Collection[str] = UNCOVERED) -> None:
    """Refuses files beside those of the manifest, and links anywhere, which may lead out of the directory.

    Hidden files at the top may lie there: they are what a killed publisher left, or a file manager.

    Raises:
        BundleError: it names the first.
    """
    for path in files_in(directory):
        if path.is_symlink() and not path.relative_to(directory).parts[0].startswith("."):
            raise BundleError(f"{path} is a link, and what twotower publishes holds none; move it away")
    others = [name for name in strangers(directory, uncovered) if not name.startswith(".")]
    if others:
        raise BundleError(f"{directory / others[0]} is no file that twotower published; move it away")


@contextmanager
def reading(what: Path, remedy: str) -> Iterator[None]:
    """Turns whatever goes wrong while files are read that fit their digests, but not each other, into one error.

    Raises:
        BundleError: it names the folder, the reason and the remedy.
    """
    try:
        yield
    except TwoTowerError:
        raise
    except Exception as error:  # of every library that reads: numpy, pyarrow, safetensors, torch, faiss, annoy
        raise BundleError(
            f"{what} does not hold what twotower writes ({type(error).__name__}: {one_line(error)[:200]}); {remedy}"
        ) from error


def _damaged(path: Path, what: str, published: object, actual: object, remedy: str) -> BundleError:
    remedy = "run `make build-index`" if path.parent.name == "index" else remedy
    return BundleError(f"{path} is damaged: {what} {actual}, published with {published}; {remedy}")
