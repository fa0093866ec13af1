"""What the peers share about their libraries: whether one is there, its threads, and matrices in its form."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from scipy import sparse
from threadpoolctl import threadpool_limits

from twotower.cores import thread_limit, usable_cores
from twotower.errors import BadConfig
from twotower.models.matrix import Sparse


def require_library(module: str, package: str) -> None:
    """Refuses to go on without a library; it is looked for and not yet imported.

    Args:
        module: the name by which it is imported.
        package: the name by which it is installed.

    Raises:
        BadConfig: it is not installed.
    """
    if find_spec(module) is None:
        raise BadConfig(f"the library {package} is not installed; pip install 'twotower[peers]' brings it")


def thread_count(threads: int | None) -> int:
    """Threads of a library: as many as given, else OMP_NUM_THREADS, else one per core that this process may use.

    Raises:
        BadConfig: fewer than one.
    """
    if threads is None:
        threads = thread_limit() or usable_cores()
    if threads < 1:
        raise BadConfig(f"threads={threads} must be at least 1, or null for OMP_NUM_THREADS")
    return threads


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """BLAS stays on one thread while a library's own threads work; `implicit` warns where it does not."""
    with threadpool_limits(1, "blas"):
        yield


def as_csr(matrix: Sparse) -> sparse.csr_matrix:
    """The same matrix of the older class, with 32-bit indices, which is what compiled code takes."""
    csr = sparse.csr_matrix(matrix)
    csr.indices, csr.indptr = csr.indices.astype("int32"), csr.indptr.astype("int32")
    return csr
