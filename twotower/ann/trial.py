"""Trying a native loader on files of unknown origin in a process of its own, which may crash instead of this one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import twotower
from twotower.allowed import INDEX, named_class
from twotower.errors import BundleError, TwoTowerError
from twotower.text import one_line

_SECONDS = 600
"""After which a loader counts as hanging."""
_IN_WORDS = 3
"""Exit status of a child whose error is in words."""


def try_in_child(backend: str, directory: Path, vectors: Path) -> None:
    """Loads an index in another process and asks it once.

    Args:
        backend: import path of its class.
        directory: where its files lie.
        vectors: file of the item vectors that it shares. Shape [N, D].

    Raises:
        BundleError: the loader crashes, hangs or refuses.
    """
    package = str(Path(twotower.__file__).parents[1])
    paths = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
    words = [sys.executable, "-P", "-c", "from twotower.ann.trial import main; main()", backend, directory, vectors]
    try:
        child = subprocess.run(
            [str(word) for word in words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            timeout=_SECONDS, env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise BundleError(f"{directory}: its loader does not end; run `make build-index`") from error
    if child.returncode:
        said = child.stderr.decode(errors="replace").strip().splitlines()[-1:]
        how = said[0] if said and child.returncode > 0 else f"it ended by signal {-child.returncode}"
        raise BundleError(f"{directory} was not made here and its loader fails ({how}); run `make build-index`")


def main() -> None:
    """What the child does; words: backend, directory, file of vectors."""
    backend, directory, vectors = sys.argv[1:]
    try:
        shared = np.load(vectors, mmap_mode="r", allow_pickle=False)
        index = named_class(backend, INDEX).load(Path(directory), shared=shared, check=False)
        index.search(np.ascontiguousarray(shared[:1]), min(10, len(shared)))
    except (TwoTowerError, RuntimeError, ValueError, OSError) as error:
        sys.stderr.write(one_line(error))
        sys.exit(_IN_WORDS)
