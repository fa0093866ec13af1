"""What twotower may move or remove: folders with a mark of its own, without what others have laid into them."""

import json
import os
import shutil
from collections.abc import Collection
from pathlib import Path

from twotower.errors import BadConfig

MANIFEST = "manifest.json"
SUCCESS = "_SUCCESS.json"
MARK = ".twotower"
"""Empty file in a folder that is being made; it goes when the folder is whole."""
_PROOFS: dict[str, frozenset[str]] = {
    MANIFEST: frozenset(("format", "created", "files")),
    SUCCESS: frozenset(("format", "job", "files")),
    ".plan.json": frozenset(),
    "cell.json": frozenset(("format", "data", "model", "digest")),
    "settings.json": frozenset(("digest",)),
}
"""Files that say whose a folder is, and the facts by which they are told from others of that name."""


def is_ours(folder: Path) -> bool:
    """Whether a folder was made here: it carries a mark, or is empty. A link is never ours."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    if (folder / MARK).is_file() or any(proves(folder / name) for name in _PROOFS):
        return True
    return next(os.scandir(folder), None) is None


def proves(file: Path) -> bool:
    """Whether a file is a manifest, or the like, that twotower wrote."""
    if file.is_symlink() or not file.is_file():
        return False
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(facts, dict) and set(facts) >= _PROOFS[file.name]


def refuse_foreign(path: Path, remedy: str) -> None:
    """Refuses a place where something lies that was not made here, before anything is moved or removed.

    Raises:
        BadConfig: it says what lies there and the remedy.
    """
    if os.path.lexists(path) and not is_ours(path):
        what = "link" if path.is_symlink() else "folder" if path.is_dir() else "file"
        raise BadConfig(f"{path} is a {what} that twotower did not make, so it stays as it is; {remedy}")


def strangers(folder: Path, also: Collection[str] = ()) -> list[str]:
    """Files and links in a folder of ours that its manifest does not name, and links that lead out of it.

    Args:
        folder: with a manifest, or a `_SUCCESS.json`.
        also: names at its top that come and go.
    """
    known: set[str] = {MANIFEST, SUCCESS, MARK}
    for name in (MANIFEST, SUCCESS):
        if proves(folder / name):
            known |= set(json.loads((folder / name).read_text(encoding="utf-8"))["files"])
    found = [path.relative_to(folder) for path in files_in(folder)]
    return sorted(p.as_posix() for p in found if p.as_posix() not in known and p.parts[0] not in also)


def files_in(folder: Path) -> list[Path]:
    """Files and links below a folder; links are not followed, and what vanishes meanwhile is left out."""
    found = []
    for above, folders, files in os.walk(folder):
        links = [name for name in folders if (Path(above) / name).is_symlink()]
        found += [Path(above) / name for name in (*files, *links)]
    return found


def begin(folder: Path) -> None:
    """A new folder with a mark."""
    folder.mkdir()
    (folder / MARK).touch()


def finish(folder: Path) -> None:
    """Takes the mark away from a folder that now carries its manifest."""
    (folder / MARK).unlink(missing_ok=True)


def remove(folder: Path) -> None:
    """Removes a folder that was made here, if it is there; what a kill leaves of it still carries the mark.

    Raises:
        BadConfig: something else lies there.
    """
    refuse_foreign(folder, "choose another name or place")
    if not folder.exists():
        return
    (folder / MARK).touch()
    for path in list(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != MARK:
            path.unlink()
    (folder / MARK).unlink()
    folder.rmdir()
