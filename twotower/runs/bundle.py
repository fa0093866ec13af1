"""`Bundle`: one run directory, published whole or not at all, and checked before anything in it is opened."""

import hashlib
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from twotower.ann.base import IndexBase
from twotower.ann.files import backend_of
from twotower.config.compose import locate
from twotower.errors import BadConfig, BundleError, IndexMismatch
from twotower.runs.serving_files import ServingFiles
from twotower.storage import atomic
from twotower.storage.manifest import MANIFEST, UNCOVERED, read_manifest, verify, write_manifest
from twotower.text import near
from twotower.types import Floats

if TYPE_CHECKING:
    from twotower.models.two_tower.estimator import TwoTower

LATEST = "latest"
_TOWERS = ("towers.safetensors", "item_vectors.npy")
_INDEX_FACTS = frozenset(("backend", "metric", "dim", "count", "towers"))
_EXCHANGES = 10
"""How often an index may be exchanged while it is being opened."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """One complete run: towers, ranker, encoders, item vectors, serving files, and perhaps an index.

    Attributes:
        directory: the run directory.
        manifest: format, created, dataset, towers, files (size and SHA-256 each) and the facts given when published.
    """

    directory: Path
    manifest: Mapping[str, Any]

    @classmethod
    def open(cls, run: str | Path = LATEST, runs_dir: str | Path = "runs") -> Self:
        """Finds a run by name or path and checks size and digest of every file before anything is loaded.

        Raises:
            BundleError: no such run, a half-written one, a foreign format, or a file that is not what was published.
        """
        directory = _find(run, Path(runs_dir))
        manifest = read_manifest(directory)
        verify(directory, manifest)
        bundle = cls(directory, manifest)
        return cls.open(run, runs_dir) if bundle.replaced() else bundle

    def replaced(self) -> bool:
        """Whether another run of this name was published since this one was opened; what is loaded then is suspect."""
        return read_manifest(self.directory) != self.manifest

    @property
    def name(self) -> str:
        """Name of the run, as the directory says."""
        return self.directory.resolve().name

    @property
    def towers(self) -> str:
        """Digest of the towers and the item vectors that they made."""
        return str(self.manifest["towers"])

    def config(self) -> dict[str, Any]:
        """The configuration that the run was trained with."""
        from omegaconf import OmegaConf

        return dict(OmegaConf.to_container(OmegaConf.load(self.directory / "config.yaml")))  # type: ignore[arg-type]

    def serving(self) -> ServingFiles:
        """Ids, catalogue, histories, popularity."""
        return ServingFiles.load(self.directory)

    def model(self) -> "TwoTower":
        """The trained towers and RankNet."""
        from twotower.models.two_tower.estimator import TwoTower

        return TwoTower.load(self.directory)

    def item_vectors(self) -> Floats:
        """The catalogue's vectors, memory-mapped. Shape [N, D]."""
        return np.load(self.directory / "item_vectors.npy", mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]

    def index_manifest(self) -> Mapping[str, Any] | None:
        """What is known of the index (backend, options, recall …), or None if the run has none.

        Raises:
            IndexMismatch: the index was built from other towers.
        """
        directory = atomic.standing(self.directory / "index")
        if not directory.exists():
            return None
        manifest = read_manifest(directory)
        if not set(manifest) >= _INDEX_FACTS:
            raise BundleError(f"{directory} holds something else than an index; remove it and run `make build-index`")
        if manifest["towers"] != self.towers:
            raise IndexMismatch(
                f"the index of run {self.name!r} was built from towers {manifest['towers'][:8]}… "
                f"but this run has {self.towers[:8]}…; run `make build-index`"
            )
        return manifest

    def index(self) -> IndexBase | None:
        """The run's index, checked before its loader sees a byte; None if there is none.

        Raises:
            IndexMismatch: it belongs to other towers, or is not what its manifest says.
            BundleError: a file of it is damaged.
        """
        for _ in range(_EXCHANGES):
            manifest = self.index_manifest()
            try:
                loaded = None if manifest is None else self._loaded(manifest)
            except Exception:
                if self.index_manifest() == manifest:
                    raise
            else:
                if self.index_manifest() == manifest:
                    return loaded
        raise BundleError(
            f"the index of run {self.name!r} is exchanged faster than it opens; stop one of its publishers"
        )

    def _loaded(self, manifest: Mapping[str, Any]) -> IndexBase:
        """The index that lies there; if it is exchanged meanwhile, perhaps files of two, each of them whole."""
        directory, vectors = atomic.standing(self.directory / "index"), self.item_vectors()
        verify(directory, manifest)
        if manifest["dim"] != vectors.shape[1]:
            raise self._mismatch("dim", manifest["dim"], f"the run's item vectors have {vectors.shape[1]}")
        loaded: IndexBase = locate(manifest["backend"]).load(  # type: ignore[attr-defined]
            directory, shared=vectors, check=False
        )
        for what, value in {"count": len(loaded), "dim": loaded.dim, "metric": loaded.metric}.items():
            if value != manifest[what]:
                raise self._mismatch(what, value, f"its manifest says {manifest[what]}")
        return loaded

    def _mismatch(self, what: str, value: object, but: str) -> IndexMismatch:
        return IndexMismatch(f"the index of run {self.name!r} has {what} {value} but {but}; run `make build-index`")


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
        BadConfig: the name cannot be a run's name, or a fact is missing.
        BundleError: another process is publishing this name, or the disk is full.
    """
    _check_name(name)
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
            write_manifest(new, {**facts, "towers": towers_digest(new)})
        former = atomic.put_in_place(new, target)
        if former is not None:
            _rotate(former, target, keep)
        _adopt_workspace(runs_dir, name)
        atomic.point(runs_dir / LATEST, name)
    return Bundle.open(target)


def publish_index(bundle: Bundle, index: IndexBase, facts: Mapping[str, Any]) -> Bundle:
    """Exchanges the index of a run in one step; whoever opens the run finds the old or the new one.

    Args:
        bundle: the run whose item vectors the index was built from.
        index: the built index.
        facts: entries for `index/manifest.json`, such as options and measured recall.

    Raises:
        BundleError: another process is publishing an index for this run, or the disk is full.
    """
    own = {
        "backend": backend_of(type(index)),
        "metric": index.metric,
        "dim": index.dim,
        "count": len(index),
        "towers": bundle.towers,
    }
    with atomic.only_one(bundle.directory / ".lock", f"publishing an index for run {bundle.name!r}"):
        with atomic.fresh(bundle.directory / ".index.publishing") as new:
            index.save(new, shared=bundle.item_vectors())
            write_manifest(new, {**facts, **own})
        former = atomic.put_in_place(new, bundle.directory / "index")
        if former is not None:
            shutil.rmtree(former)
    return bundle


def workspace(runs_dir: str | Path, name: str) -> Path:
    """The folder for logs and checkpoints of a run that is still being trained; `publish` moves them into the run.

    Raises:
        BadConfig: the name cannot be a run's name: better said before a training than after it.
    """
    _check_name(name)
    folder = _workspace(Path(runs_dir), name)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def towers_digest(directory: Path) -> str:
    """One digest for the files that an index depends on: the towers and the item vectors."""
    digests = [atomic.sha256_of(directory / file) for file in _TOWERS if (directory / file).exists()]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def runs_in(runs_dir: str | Path) -> list[str]:
    """Names of the complete runs of a folder, newest first."""
    found = [m for m in Path(runs_dir).glob(f"*/{MANIFEST}") if m.parent.name != LATEST]
    return [m.parent.name for m in sorted(found, key=lambda m: m.stat().st_mtime, reverse=True)]


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or name == LATEST:
        raise BadConfig(f"run name {name!r}: use letters, digits, '.', '_' and '-'; {LATEST!r} is taken")


def _find(run: str | Path, runs_dir: Path) -> Path:
    """The directory that a name or a path means."""
    path, name = Path(run), str(run)
    is_path = isinstance(run, Path) or "/" in name
    if not is_path:
        path = runs_dir / name
    if path.is_symlink():  # a later `latest` must not change a bundle that is already open
        path = path.parent / path.readlink()
    if atomic.standing(path).is_dir():
        return atomic.standing(path)
    known = runs_in(path.parent)
    if _workspace(path.parent, path.name).is_dir():
        raise BundleError(f"run {path.name!r} was never finished; start its training again to resume it")
    if not known:
        raise BundleError(f"no run in {path.parent}/: type `python -m twotower.train` first")
    if name == LATEST:
        raise BundleError(f"{path} does not lead to a run; name one of {', '.join(known[:5])} with --run")
    raise BundleError(f"no run {path.name!r} in {path.parent}/; {near(path.name, known)}")


def _rotate(former: Path, target: Path, keep: int) -> None:
    """`name.1` becomes `name.2`, …; the former run becomes `name.1`; the oldest beyond `keep` goes."""
    numbered = [target.with_name(f"{target.name}.{i}") for i in range(1, keep + 1)]
    shutil.rmtree(numbered[-1] if numbered else former, ignore_errors=True)
    for older, newer in zip(numbered[:0:-1], numbered[-2::-1], strict=True):
        if newer.exists():
            newer.rename(older)
    if numbered:
        former.rename(numbered[0])


def _workspace(runs_dir: Path, name: str) -> Path:
    return runs_dir / f".{name}.training"


def _adopt_workspace(runs_dir: Path, name: str) -> None:
    """Moves logs and checkpoints into the published run and removes the workspace."""
    folder = _workspace(runs_dir, name)
    for child in folder.iterdir() if folder.is_dir() else ():
        if child.name in UNCOVERED and not (runs_dir / name / child.name).exists():
            child.rename(runs_dir / name / child.name)
    shutil.rmtree(folder, ignore_errors=True)
