"""Two processes that are started once for all tests of this folder, and what one process does in their place."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from twotower.training.context import FitContext

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def run_both(words: list[str], size: int = 2, timeout: float = 300, **options: Any) -> list[tuple[int, str, str]]:
    """Runs a command in several processes as `torchrun` would, but without its supervision.

    Returns:
        Status, stdout and stderr of each; none is left running.
    """
    meeting = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    environments = [
        {**os.environ, **meeting, "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1",
         "PYTHONPATH": str(ROOT)}
        for rank in range(size)
    ]  # fmt: skip
    processes = [
        subprocess.Popen(
            [sys.executable, *words], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
        )
        for env in environments
    ]
    try:
        printed = [process.communicate(timeout=timeout) for process in processes]
        return [(process.returncode, *texts) for process, texts in zip(processes, printed, strict=True)]
    finally:
        for process in processes:
            process.kill()


@pytest.fixture(scope="session")
def worker() -> ModuleType:
    """The module that the processes run."""
    spec = importlib.util.spec_from_file_location("worker", Path(__file__).parent / "worker.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Together:
    """What two processes left behind."""

    folder: Path

    def facts(self, name: str) -> list[Any]:
        return [json.loads(path.read_text()) for path in sorted(self.folder.glob(f"[01]/{name}.json"))]

    def tensors(self, name: str) -> list[dict[str, torch.Tensor]]:
        return [load_file(self.folder / str(rank) / f"{name}.safetensors") for rank in (0, 1)]


@pytest.fixture(scope="session")
def both():
    """Runs a command in two processes; see `run_both`."""
    return run_both


@pytest.fixture(scope="session")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def together(tmp_path_factory, worker, two_tastes, one_thread) -> Together:
    """Two processes have done what `worker.py` says; one began some fits, for them to go on."""
    folder = tmp_path_factory.mktemp("together")
    for name in worker.RESUMED:
        worker.kill_after(worker.KILLED_AFTER)
        with pytest.raises(worker.Killed):
            worker.estimator(name, checkpoint_seconds=-1.0).fit(two_tastes, FitContext(folder / "by one" / name))
        worker.kill_after(None)
    for status, _, errors in run_both([str(Path(__file__).parent / "worker.py"), str(folder)]):
        assert status == 0, errors
    return Together(folder)
