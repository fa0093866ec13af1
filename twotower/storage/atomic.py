"""Directories that appear whole or not at all: digest, full disks, fsync, atomic exchange, symlink swap, lock."""

import ctypes
import errno
import hashlib
import json
import os
import re
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from twotower.errors import BadConfig, BundleError
from twotower.storage import ours

_AT_FDCWD = -100
_SWAP = 2  # RENAME_EXCHANGE of renameat2 (Linux) and RENAME_SWAP of renamex_np (macOS)
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EXDEV, errno.EOPNOTSUPP}
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_ROOM_WITHOUT_NUMBER = re.compile(r"\d+ requested and \d+ written|Unable to (write|close)")  # numpy's, Annoy's


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_json(value: object) -> str:
    """SHA-256 of a value as it is when read back from JSON, whatever the order of its keys."""
    as_read = json.loads(json.dumps(value))
    return hashlib.sha256(json.dumps(as_read, sort_keys=True).encode()).hexdigest()


def described(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file that was just written.

    Raises:
        BundleError: an array file is shorter than its own header says: numpy does not notice when a full disk swallows
            the last bytes of `np.save`, and a digest would make them look like what was meant.
    """
    size = path.stat().st_size
    if path.suffix == ".npy":
        try:
            np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise BundleError(f"{path} was written in part only ({size} bytes): {_room(path)}") from error
    return {"size": size, "sha256": sha256_of(path)}


@contextmanager
def fresh(directory: Path) -> Iterator[Path]:
    """An empty directory to write into; what a killed process left there goes, and so does what fails.

    Raises:
        BadConfig: something lies there that was not made here.
        BundleError: the disk, the quota or the largest allowed file is too small.
    """
    ours.remove(directory)
    try:
        ours.begin(directory)
        yield directory
        ours.finish(directory)
    except BaseException as error:
        shutil.rmtree(directory, ignore_errors=True)
        if isinstance(error, OSError) and _is_no_room(error):
            raise BundleError(
                f"{directory.parent} cannot take what was to be published ({error}): {_room(directory)}"
            ) from error
        raise


def sync_tree(directory: Path) -> None:
    """Forces every file and folder below (and the directory itself) to the disk."""
    for path in [*directory.rglob("*"), directory]:
        if not path.is_symlink():
            _sync(path)


def put_in_place(new: Path, target: Path) -> Path | None:
    """Makes the complete directory `new` the directory `target`, both on one file system.

    A reader finds the old or the new directory, never a mixture. Where the system cannot exchange two directories in
    one step, two renames are used; after a kill between them `standing` finds the old one.

    Returns:
        Where the former `target` lies now, or None if there was none. The caller removes or keeps it.

    Raises:
        BadConfig: what lies there, or where the former waits, was not made here.
    """
    for place in (target, aside(target)):
        ours.refuse_foreign(place, "choose another name or place")
    if standing(target) != target:
        aside(target).rename(target)
    if not target.exists():
        new.rename(target)
        _sync(target.parent)
        return None
    if _exchange(new, target):
        former = new
    else:
        former = aside(target)
        ours.remove(former)
        target.rename(former)
        new.rename(target)
    _sync(target.parent)
    return former


def standing(target: Path) -> Path:
    """Where a complete `target` lies: itself, or set aside if a kill fell between the two renames of `put_in_place`."""
    return aside(target) if not target.exists() and ours.is_ours(aside(target)) else target


def point(link: Path, to: str) -> None:
    """Makes `link` a symlink to `to` beside it, replacing an older symlink in one step.

    Raises:
        BadConfig: `link` is something else than a symlink to a neighbour.
    """
    refuse_no_pointer(link)
    beside = link.with_name(f".{link.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    beside.symlink_to(to)
    beside.replace(link)
    _sync(link.parent)


def refuse_no_pointer(link: Path) -> None:
    """Refuses a place where `point` would replace something that it did not make.

    Raises:
        BadConfig: it says what lies there.
    """
    if os.path.lexists(link) and (not link.is_symlink() or link.readlink().name != str(link.readlink())):
        raise BadConfig(f"{link} is something that twotower did not make, so it stays as it is; choose another folder")


@contextmanager
def only_one(lock: Path, doing: str) -> Iterator[None]:
    """Holds an advisory lock that ends with the process, however it ends; a lock of a dead process is taken over.

    The file names the holder for whoever is refused. It stays when the lock ends: removing it would let two processes
    hold locks on two files of one name.

    Raises:
        BundleError: another process holds it; the text names it.
    """
    with lock.open("a+", encoding="utf-8") as file:
        if sys.platform != "win32":
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BundleError(
                    f"another process{_holder(file)} is {doing}; wait for it to end, then try again"
                ) from None
        _sign(file)
        yield


def _sign(file: TextIO) -> None:
    """Writes into a lock file who holds it, unless somebody else has written something into it."""
    if not _holder(file) and file.tell():
        return
    file.truncate(0)
    signature = json.dumps({"pid": os.getpid(), "host": socket.gethostname()}) + "\n"
    with suppress(OSError):  # on a full disk the lock holds without a name, and what follows says what is wrong
        os.write(file.fileno(), signature.encode())


def _holder(file: TextIO) -> str:
    """Who signed a lock file, in words; nothing where that cannot be read."""
    file.seek(0)
    try:
        facts = json.loads(file.read(1000))
        return f" (process {int(facts['pid'])} on {str(facts['host'])[:80]})"
    except (ValueError, TypeError, KeyError):
        return ""


def aside(target: Path) -> Path:
    """Where the former `target` waits while two renames exchange it."""
    return target.with_name(f".{target.name}.former")


def _is_no_room(error: OSError) -> bool:
    return error.errno in _NO_ROOM or (error.errno is None and bool(_NO_ROOM_WITHOUT_NUMBER.search(str(error))))


def _room(path: Path) -> str:
    """What is left on the disk of a path, and what to do about it."""
    free = shutil.disk_usage(path.parent).free
    return (
        f"{free / 1e6:,.1f} MB are free there; free some, or raise the quota or the limit of file sizes, "
        "then try again; what was published before is still served"
    )


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _exchange(a: Path, b: Path) -> bool:
    """Exchanges two directories in one step; False where the system or file system cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(a), os.fsencode(b)
    if hasattr(libc, "renameat2"):
        failed = libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _SWAP)
    elif hasattr(libc, "renamex_np"):
        failed = libc.renamex_np(*names, _SWAP)
    else:
        return False
    if failed and ctypes.get_errno() not in _UNSUPPORTED:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(b))
    return not failed
