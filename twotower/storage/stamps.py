"""Stamps of files: size, times and digest, by which a later reader knows whether it would read the same again."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from twotower.storage.atomic import sha256_of


def stamps_of(paths: Iterable[Path], *, digests: bool) -> list[dict[str, Any]]:
    """One stamp for every file that is there, folders file by file.

    Args:
        paths: files and folders.
        digests: read every file for its SHA-256; without it only what the file system tells.
    """
    return [_stamp(path, digests) for given in paths for path in _files_of(given)]


def same_files(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the same files hold the same bytes.

    Times of content and of inode that did not change say so, and not even a copy with old times escapes them; where
    they changed the digest decides.

    Args:
        before: stamps with digests.
        now: stamps of the same files, without.
    """
    if [stamp["path"] for stamp in before] != [stamp["path"] for stamp in now]:
        return False
    return all(_same(old, new) for old, new in zip(before, now, strict=True))


def _same(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    if old.get("size") != new["size"]:
        return False
    if all(old.get(time) == new[time] for time in ("mtime", "ctime")):
        return True
    return bool(old.get("sha256") == sha256_of(Path(new["path"])))


def _files_of(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(Path(folder) / name for folder, _, names in os.walk(path) for name in names)
    return [path] if path.is_file() else []


def _stamp(path: Path, digest: bool) -> dict[str, Any]:
    stat = path.stat()
    stamp = {"path": str(path), "size": stat.st_size, "mtime": stat.st_mtime_ns, "ctime": stat.st_ctime_ns}
    return {**stamp, "sha256": sha256_of(path)} if digest else stamp
