"""`RayEngine`: Ray Data actors, on this machine or on a cluster, that read and write the parts themselves."""

import importlib.util
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from twotower import errors
from twotower.errors import BadConfig, BundleError, TwoTowerError
from twotower.jobs.engines import Engine, Task
from twotower.text import one_line

_OBJECT_STORE = 100 << 20
"""Bytes of Ray's shared memory: numbers of parts are all that goes through it."""
_ANSWERS_WITHIN = 10.0
"""Seconds."""
_ALONE = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}


class RayEngine(Engine):
    """`ray.data` over the numbers of the parts, mapped by a pool of `workers` actors.

    Each actor opens the task once. Rows do not pass through Ray: an actor reads its part of the Parquet files and
    writes its own file, so that a part that was finished once is never computed again, and memory does not grow with
    the data. On a cluster, inputs, runs and outputs must lie in a folder that all machines see under one path.

    Args:
        workers: actors.
        threads: cores that each actor takes and computes with.
        address: a running cluster (`auto`, `ray://host:10001`); None starts Ray here and ends it afterwards. A Ray
            that this process is connected to already is used as it is.
    """

    def __init__(self, *, workers: int = 1, threads: int | None = None, address: str | None = None) -> None:
        super().__init__(workers=workers, threads=threads)
        if importlib.util.find_spec("ray") is None:
            raise BadConfig("engine=ray needs Ray: pip install 'twotower[distributed]', or take engine=local")
        self.address = address

    def each(self, task: Task, numbers: Sequence[int]) -> Iterator[int]:
        """As of every engine."""
        if not numbers:
            return
        with self._connected():
            import ray
            import ray.data

            ray.data.DataContext.get_current().enable_progress_bars = False
            logging.getLogger("ray.data").setLevel(logging.ERROR)
            done = ray.data.from_items(list(numbers), override_num_blocks=len(numbers)).map_batches(
                _Actor,
                fn_constructor_args=(task, self.threads),
                batch_size=1,
                compute=ray.data.ActorPoolStrategy(size=min(self.workers, len(numbers))),
                num_cpus=self.threads,
            )
            try:
                for row in done.iter_rows():
                    yield _number(row)
            except ray.exceptions.RayError as error:
                raise BundleError(
                    f"Ray gave up: {one_line(error)[:500]}; type the command again to go on from the finished parts"
                ) from error

    @contextmanager
    def _connected(self) -> Iterator[None]:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # it complains about how Ray Data makes its actors
        import ray

        if ray.is_initialized():
            yield
            return
        folder = tempfile.mkdtemp(prefix="ray-")  # short: the paths of sockets may have 107 characters
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        variables = {"env_vars": {**_ALONE, "OMP_NUM_THREADS": str(self.threads)}}
        try:
            if self.address is None:
                cores = self.workers * self.threads + 1  # one for what Ray does beside the actors
                ray.init("local", num_cpus=cores, include_dashboard=False, object_store_memory=_OBJECT_STORE,
                         _temp_dir=folder, runtime_env=variables, **quiet)  # fmt: skip
            else:
                _check_reachable(self.address)
                ray.init(self.address, runtime_env=variables, **quiet)
            yield
        except (ConnectionError, TimeoutError) as error:
            raise BundleError(
                f"no Ray cluster answers at {self.address}: {error}; start one, give this process the token of a "
                "cluster that asks for one (RAY_AUTH_MODE=token, RAY_AUTH_TOKEN), or leave ray_address out"
            ) from error
        finally:
            ray.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


def _check_reachable(address: str) -> None:
    """Ray itself would try for many minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host, int(port)), timeout=_ANSWERS_WITHIN).close()
        except OSError as error:
            raise ConnectionError(str(error)) from error


class _Actor:
    """Opens the task in an actor's process; errors that were raised on purpose travel as text."""

    def __init__(self, task: Task, threads: int) -> None:
        from threadpoolctl import threadpool_limits

        self._failed: TwoTowerError | None = None
        try:
            self._run = task.open()
        except TwoTowerError as error:
            self._failed = error
        threadpool_limits(threads)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        numbers = [int(number) for number in batch["item"]]
        said = [self._error_of(number) for number in numbers]
        return {"number": numbers, "error": [kind for kind, _ in said], "text": [text for _, text in said]}

    def _error_of(self, number: int) -> tuple[str, str]:
        try:
            if self._failed is not None:
                raise self._failed
            self._run(number)
        except TwoTowerError as error:
            return type(error).__name__, str(error)
        return "", ""


def _number(row: Mapping[str, Any]) -> int:
    """The number of a finished part.

    Raises:
        TwoTowerError: what the task raised there.
    """
    if row["error"]:
        raise getattr(errors, row["error"])(row["text"])
    return int(row["number"])
