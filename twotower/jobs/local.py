"""`LocalEngine`: parts one after the other in this process, or side by side in processes of this machine."""

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from threadpoolctl import threadpool_limits

from twotower.errors import BundleError
from twotower.jobs.engines import Engine, Run, Task

_opened: list[Run] = []
"""In a worker process: the task that it opened."""


class LocalEngine(Engine):
    """One process, or `workers` that are started afresh: a forked child would inherit locks of threads it lacks."""

    def each(self, task: Task, numbers: Sequence[int]) -> Iterator[int]:
        """As of every engine."""
        if not numbers:
            return
        yield from self._here(task, numbers) if self.workers == 1 else self._in_processes(task, numbers)

    def _here(self, task: Task, numbers: Sequence[int]) -> Iterator[int]:
        run = task.open()
        for number in numbers:
            with threadpool_limits(self.threads):
                run(number)
            yield number

    def _in_processes(self, task: Task, numbers: Sequence[int]) -> Iterator[int]:
        pool = ProcessPoolExecutor(
            min(self.workers, len(numbers)),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start,
            initargs=(task, self.threads),
        )
        try:
            for future in as_completed([pool.submit(_run, number) for number in numbers]):
                yield future.result()
        except BrokenProcessPool as error:
            raise BundleError(
                f"a worker process died ({error}); if memory ran out, take fewer workers or smaller batches; "
                "type the command again to go on from the finished parts"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start(task: Task, threads: int) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _opened.append(task.open())
    threadpool_limits(threads)


def _run(number: int) -> int:
    _opened[0](number)
    return number


def _end_with_parent() -> None:
    """A killed parent cannot tell its workers to stop."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
