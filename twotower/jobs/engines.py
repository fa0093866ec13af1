"""`Engine`: carries out a task on numbered parts, here or on many machines; the task never knows where it runs."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from twotower.cores import thread_limit, usable_cores
from twotower.errors import BadConfig

Run = Callable[[int], None]
"""Does one part, by its number, and leaves the result in a file."""


class Task(Protocol):
    """What is done to every part. It travels to other processes: plain values inside, nothing open."""

    def open(self) -> Run:
        """Loads what the work needs, once in every worker."""
        ...


class Engine(ABC):
    """Workers that share one list of parts.

    Results lie in files, so nothing but numbers travels between workers: whichever engine runs a task, the files are
    the same. The same number of threads gives the same bits.

    Args:
        workers: processes that work side by side; each opens the task for itself.
        threads: that each of them computes with; None: an equal share of the cores (or of `OMP_NUM_THREADS`).
    """

    def __init__(self, *, workers: int = 1, threads: int | None = None) -> None:
        for name, value in {"workers": workers, "threads": threads}.items():
            if value is not None and value < 1:
                raise BadConfig(f"{name} must be at least 1, got {value}")
        self.workers = workers
        cores = usable_cores()
        self.threads = threads or max(1, min(cores, thread_limit() or cores) // workers)

    @abstractmethod
    def each(self, task: Task, numbers: Sequence[int]) -> Iterator[int]:
        """Runs the task on every number; gives each number when its part is done, in any order.

        Raises:
            BundleError: a worker died.
            TwoTowerError: whatever the task raised.
        """
