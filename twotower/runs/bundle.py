"""`Bundle`: one run directory, published whole or not at all, and checked before anything in it is opened."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from twotower.allowed import INDEX
from twotower.ann.base import IndexBase
from twotower.ann.trial import try_in_child
from twotower.config.compose import locate, read_plain
from twotower.errors import BundleError, IndexMismatch
from twotower.models.base import load_model, model_facts
from twotower.runs.serving_files import ServingFiles
from twotower.storage import atomic, known
from twotower.storage.manifest import MANIFEST, read_manifest, reading, refuse_more, verify
from twotower.text import near
from twotower.types import Floats, Queries

if TYPE_CHECKING:
    from twotower.models.base import Model


class HasVectors(Protocol):
    """A model whose scores are products of vectors."""

    @property
    def item_vectors(self) -> Floats:
        """Shape [N, D]."""
        ...

    @property
    def likeness(self) -> Floats:
        """Item vectors whose cosine says how alike items are. Shape [N, D]."""
        ...

    def user_vectors(self, queries: Queries) -> Floats:
        """Shape [B, D]."""
        ...


LATEST, VECTORS = "latest", "item_vectors.npy"
_INDEX_FACTS = frozenset(("backend", "metric", "dim", "count", "model"))
_EXCHANGES = 10
"""How often an index may be exchanged while it is being opened."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """One complete run: a model, its item vectors if it has some, serving files, and perhaps an index.

    Attributes:
        directory: the run directory.
        manifest: format, created, dataset, model (a digest), files (size and SHA-256 each), the facts given.
    """

    directory: Path
    manifest: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"<Bundle {self.name}, published {self.manifest['created']}>"

    @classmethod
    def open(cls, run: str | Path = LATEST, runs_dir: str | Path = "runs") -> Self:
        """Finds a run by name or path and checks size and digest of every file before anything is loaded.

        Raises:
            BundleError: no such run, a half-written one, a foreign format, or a file that is not what was published.
        """
        directory = _find(run, Path(runs_dir))
        manifest = read_manifest(directory)
        _refuse_incomplete(directory, manifest)
        refuse_more(directory)
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
    def model_digest(self) -> str:
        """Digest of what the model learnt and of its item vectors."""
        return str(self.manifest["model"])

    def config(self) -> dict[str, Any]:
        """The configuration that the run was trained with: plain values, never interpolated.

        Raises:
            BadConfig: the file holds something else.
        """
        return read_plain(self.directory / "config.yaml", "the configuration of a run,")

    def serving(self) -> ServingFiles:
        """Ids, catalogue, histories, popularity."""
        with reading(self.directory, "train again"):
            return ServingFiles.load(self.directory)

    def model(self) -> "Model":
        """The trained model, of the class that the run names.

        Raises:
            BundleError: the run names something else than a model of twotower.
        """
        with reading(self.directory, "train again"):
            return load_model(self.directory)

    @property
    def has_vectors(self) -> bool:
        """Whether the model gave item vectors, so that there can be an index."""
        return (self.directory / VECTORS).exists()

    def item_vectors(self) -> Floats:
        """The catalogue's vectors, memory-mapped. Shape [N, D].

        Raises:
            BundleError: the run's model has none.
        """
        if not self.has_vectors:
            kind = model_facts(self.directory)["class"].rpartition(".")[2]
            raise BundleError(
                f"run {self.name!r} is of {kind}, which has no item vectors and needs no index: its lists are its own; "
                "an index is for models with vectors, such as two_tower, als or mf_warp"
            )
        with reading(self.directory / VECTORS, "train again"):
            vectors: Floats = np.load(self.directory / VECTORS, mmap_mode="r", allow_pickle=False)
            if vectors.ndim != 2 or vectors.dtype != np.float32:
                raise BundleError(f"{self.directory / VECTORS} is no table of float32 [N, D]; train again")
            return vectors

    def index_manifest(self) -> Mapping[str, Any] | None:
        """What is known of the index (backend, options, recall …), or None if the run has none.

        Raises:
            IndexMismatch: the index was built from another model.
        """
        directory = atomic.standing(self.directory / "index")
        if not directory.exists():
            return None
        manifest = read_manifest(directory)
        if not set(manifest) >= _INDEX_FACTS:
            raise BundleError(
                f"{directory} holds something else than an index; move it away and run `make build-index`"
            )
        if manifest["model"] != self.model_digest:
            raise IndexMismatch(
                f"the index of run {self.name!r} was built from vectors {manifest['model'][:8]}… "
                f"but this run has {self.model_digest[:8]}…; run `make build-index`"
            )
        return manifest

    def index(self) -> IndexBase | None:
        """The run's index, checked before its loader sees a byte; None if there is none.

        Raises:
            IndexMismatch: it belongs to another model, or is not what its manifest says.
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
        refuse_more(directory, ())
        verify(directory, manifest)
        if manifest["dim"] != vectors.shape[1]:
            raise self._mismatch("dim", manifest["dim"], f"the run's item vectors have {vectors.shape[1]}")
        kind: Any = locate(manifest["backend"], INDEX)
        with reading(directory, "run `make build-index`"):
            if kind.native and not known.is_known(manifest):
                try_in_child(str(manifest["backend"]), directory, self.directory / VECTORS)
                known.remember(manifest)
            loaded: IndexBase = kind.load(directory, shared=vectors, check=False)
        for what, value in {"count": len(loaded), "dim": loaded.dim, "metric": loaded.metric}.items():
            if value != manifest[what]:
                raise self._mismatch(what, value, f"its manifest says {manifest[what]}")
        return loaded

    def _mismatch(self, what: str, value: object, but: str) -> IndexMismatch:
        return IndexMismatch(f"the index of run {self.name!r} has {what} {value} but {but}; run `make build-index`")


def _refuse_incomplete(directory: Path, manifest: Mapping[str, Any]) -> None:
    """A manifest that fits its own digest may still be of something else than a run.

    Raises:
        BundleError: it names what is missing.
    """
    for fact in ("dataset", "model", "created"):
        if not isinstance(manifest.get(fact), str):
            raise BundleError(f"{directory / MANIFEST} does not say {fact!r}, so this is no run; name another folder")


def runs_in(runs_dir: str | Path) -> list[str]:
    """Names of the complete runs of a folder, newest first."""
    manifests = [m for m in Path(runs_dir).glob(f"*/{MANIFEST}") if m.parent.name != LATEST]
    return [m.parent.name for m in sorted(manifests, key=lambda m: m.stat().st_mtime, reverse=True)]


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
    if training_folder(path.parent, path.name).is_dir():
        raise BundleError(f"run {path.name!r} was never finished; start its training again to resume it")
    if not known:
        raise BundleError(f"no run in {path.parent}/: type `python -m twotower.train` first")
    if name == LATEST:
        raise BundleError(f"{path} does not lead to a run; name one of {', '.join(known[:5])} with --run")
    raise BundleError(f"no run {path.name!r} in {path.parent}/; {near(path.name, known)}")


def training_folder(runs_dir: Path, name: str) -> Path:
    """Where a run of this name is being trained."""
    return runs_dir / f".{name}.training"
