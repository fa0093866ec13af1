"""Publishing runs and their indexes: they appear whole or not at all, and former runs are kept."""

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from twotower.ann.base import IndexBase
from twotower.ann.files import backend_of
from twotower.errors import BadConfig
from twotower.runs.bundle import LATEST, VECTORS, Bundle, HasVectors, training_folder
from twotower.storage import atomic, known
from twotower.storage.manifest import MANIFEST, UNCOVERED, read_manifest, write_manifest
from twotower.storage.ours import MARK, refuse_foreign, remove, strangers
from twotower.storage.writable import refuse_unwritable

if TYPE_CHECKING:
    from twotower.models.base import Model


_LEARNT = ("towers.safetensors", "model.safetensors", VECTORS)


def publish(
    runs_dir: str | Path,
    name: str,
    write: Callable[[Path], None],
    facts: Mapping[str, Any],
    *,
    keep: int = 3,
) -> Bundle:
    """Makes a run appear whole under `runs_dir/name` and points `latest` at it.

    A former run of that name stays, whole, as `name.1` (and `name.1` becomes `name.2`, …, up to `keep` of them).
    Logs and checkpoints of `workspace(runs_dir, name)` move into the published run.

    Args:
        runs_dir: folder of runs; made if needed.
        name: letters, digits, `.`, `_`, `-`.
        write: writes the run's files into the empty directory that it is given.
        facts: entries for the manifest; `dataset` (the fingerprint) is required.
        keep: former runs of this name to keep.

    Raises:
        BadConfig: the name cannot be a run's name, a fact is missing, or something that is no run has the name.
        BundleError: another process is publishing this name, or the disk is full.
    """
    check_place(runs_dir, name, keep)
    if "dataset" not in facts:
        raise BadConfig("publish: facts must name the data set's fingerprint under 'dataset'")
    runs_dir = Path(runs_dir)
    runs_dir.mkdir(parents=True, exist_ok=True)
    target = runs_dir / name
    with atomic.only_one(runs_dir / f".{name}.lock", f"publishing run {name!r}"):
        new = runs_dir / f".{name}.publishing"
        for leftover in (new, atomic.aside(target)):  # of a kill between exchange and rotation: a run to be kept
            if target.exists() and (leftover / MANIFEST).exists():
                _rotate(leftover, target, keep)
        with atomic.fresh(new):
            write(new)
            write_manifest(new, {**facts, "model": model_digest(new)})
        former = atomic.put_in_place(new, target)
        if former is not None:
            _rotate(former, target, keep)
        _adopt_workspace(runs_dir, name)
        atomic.point(runs_dir / LATEST, name)
    return Bundle.open(target)


def fate_of_former(runs_dir: str | Path, name: str, keep: int = 3) -> str | None:
    """What becomes of a run that is there when another is published under its name; None: there is none."""
    target = Path(runs_dir) / name
    if not (target / MANIFEST).exists():
        return None
    *_, oldest = former = _numbered(target, keep)
    goes = oldest.exists() and all(path.exists() for path in former) and not strangers(oldest, UNCOVERED)
    gone = f"; {oldest.name}, the oldest of {keep} that are kept, goes" if goes else ""
    return f"run {name!r} is there: it stays as {former[0].name} when this training has ended{gone}"


def publish_index(bundle: Bundle, index: IndexBase, facts: Mapping[str, Any]) -> Bundle:
    """Exchanges the index of a run in one step; whoever opens the run finds the old or the new one.

    Args:
        bundle: the run whose item vectors the index was built from.
        index: the built index.
        facts: entries for `index/manifest.json`, such as options and measured recall.

    Raises:
        BundleError: another process is publishing an index for this run, or the disk is full.
    """
    refuse_strangers(bundle.directory / "index")
    own = {
        "backend": backend_of(type(index)),
        "metric": index.metric,
        "dim": index.dim,
        "count": len(index),
        "model": bundle.model_digest,
    }
    with atomic.only_one(bundle.directory / ".lock", f"publishing an index for run {bundle.name!r}"):
        with atomic.fresh(bundle.directory / ".index.publishing") as new:
            index.save(new, shared=bundle.item_vectors())
            write_manifest(new, {**facts, **own})
            known.remember(read_manifest(new))
        former = atomic.put_in_place(new, bundle.directory / "index")
        if former is not None:
            remove(former)
    return bundle


def workspace(runs_dir: str | Path, name: str) -> Path:
    """The folder for logs and checkpoints of a run that is still being trained; `publish` moves them into the run.

    Raises:
        BadConfig: the run cannot be published there: better said before a training than after it.
    """
    check_place(runs_dir, name)
    folder = training_folder(Path(runs_dir), name)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()
    return folder


@contextmanager
def training(runs_dir: str | Path, name: str) -> Iterator[None]:
    """Held while a run is trained and published, so that no other process trains one of the same name.

    Raises:
        BadConfig: the run cannot be published there.
        BundleError: another process is training it; the text names it.
    """
    check_place(runs_dir, name)
    runs_dir = Path(runs_dir)
    refuse_unwritable(runs_dir)
    runs_dir.mkdir(parents=True, exist_ok=True)
    with atomic.only_one(runs_dir / f".{name}.training.lock", f"training run {name!r}"):
        yield


def check_place(runs_dir: str | Path, name: str, keep: int = 3) -> None:
    """Refuses a name that no run can have, or whose place is taken by something that twotower did not make.

    Raises:
        BadConfig: it says what lies there.
    """
    _check_name(name)
    runs_dir = Path(runs_dir)
    runs = [runs_dir / name, *_numbered(runs_dir / name, keep)]
    for path in (*runs, *(runs_dir / f".{name}.{made}" for made in ("training", "publishing", "former"))):
        refuse_foreign(path, "give run=<another name> or runs_dir=<another folder>")
    atomic.refuse_no_pointer(runs_dir / LATEST)


def refuse_strangers(index: Path) -> None:
    """Refuses to exchange an index into whose folder somebody else has laid something.

    Raises:
        BadConfig: it names the file.
    """
    refuse_foreign(index, "move it away")
    if others := strangers(index):
        raise BadConfig(f"{index} holds {others[0]}, which is no file of an index; move it away")


def save_model(model: "Model", directory: Path) -> None:
    """Writes a model, and its item vectors where it has some."""
    model.save(directory)
    if model.has_vectors and not (directory / VECTORS).exists():
        np.save(directory / VECTORS, cast("HasVectors", model).item_vectors)


def model_digest(directory: Path) -> str:
    """One digest for the files that an index depends on: what was learnt and the item vectors."""
    files = [directory / folder / name for folder in ("", "first", "second") for name in _LEARNT]
    digests = [atomic.sha256_of(file) for file in files if file.is_file()]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or name == LATEST:
        raise BadConfig(f"run name {name!r}: use letters, digits, '.', '_' and '-'; {LATEST!r} is taken")


def _rotate(former: Path, target: Path, keep: int) -> None:
    """`name.1` becomes `name.2`, …; the former run becomes `name.1`; the oldest beyond `keep` goes.

    If somebody has laid files into the oldest, it keeps a number instead.
    """
    numbered = _numbered(target, keep)
    oldest = numbered[-1] if numbered else former
    if oldest.exists() and strangers(oldest, UNCOVERED):
        free = next(path for n in count(keep + 1) if not os.path.lexists(path := _numbered(target, n)[-1]))
        oldest.rename(free)
    else:
        remove(oldest)
    for older, newer in zip(numbered[:0:-1], numbered[-2::-1], strict=True):
        if newer.exists():
            newer.rename(older)
    if numbered:
        former.rename(numbered[0])


def _numbered(target: Path, keep: int) -> list[Path]:
    """Where former runs of a name lie, the newest first."""
    return [target.with_name(f"{target.name}.{number}") for number in range(1, keep + 1)]


def _adopt_workspace(runs_dir: Path, name: str) -> None:
    """Moves logs and checkpoints into the published run and removes the workspace."""
    folder = training_folder(runs_dir, name)
    for child in folder.iterdir() if folder.is_dir() else ():
        if child.name in UNCOVERED - {MARK} and not (runs_dir / name / child.name).exists():
            child.rename(runs_dir / name / child.name)
    remove(folder)
