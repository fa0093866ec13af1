"""Several processes that train together: who they are, how they meet, and the few things that they tell each other."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from twotower.errors import BadConfig, BadInput, WorkerLost
from twotower.types import Array

MEETING = timedelta(minutes=10)
"""How long a process waits for the others to start."""
PATIENCE = timedelta(hours=6)
"""How long a process waits for the others: longer than the first one validates. One that dies is noticed at once."""
_ENVIRONMENT = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, slots=True)
class Workers:
    """The processes that train together: this one's number, and how many there are.

    Every method is called by all of them in the same order. A process that trains alone tells nobody anything.

    Attributes:
        rank: number of this process, from 0; number 0 leads: it validates, logs and publishes.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process is the one that speaks to the world."""
        return self.rank == 0

    def block(self, values: Array) -> Array:
        """What falls to this process of an array: consecutive rows, nearly as many for each."""
        return np.array_split(values, self.size)[self.rank] if self.size > 1 else values

    def sums(self, values: Mapping[str, float]) -> dict[str, float]:
        """Every value added up over all processes; they bring the same names."""
        if self.size == 1:
            return dict(values)
        total = torch.tensor(list(values.values()), dtype=torch.float64)
        self.add_up(total)
        return dict(zip(values, total.tolist(), strict=True))

    def add_up(self, tensor: Tensor) -> None:
        """Replaces a tensor by its sum over all processes, the same bits in each."""
        if self.size > 1:
            with noticing():
                dist.all_reduce(tensor)

    def add_up_all(self, tensors: Sequence[Tensor]) -> None:
        """`add_up` of many tensors of one type in one message; sparse ones, coalesced before, take one each."""
        if self.size == 1:
            return
        for tensor in tensors:
            if tensor.is_sparse:
                self.add_up(tensor)
        tensors = [t for t in tensors if not t.is_sparse]
        if not tensors:
            return
        flat = torch.cat([t.flatten() for t in tensors])
        self.add_up(flat)
        for tensor, total in zip(tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True):
            tensor.copy_(total.view_as(tensor))

    def from_leader(self, figure: float | None) -> float | None:
        """What the leader says; what the others bring is not read."""
        if self.size == 1:
            return figure
        told = torch.tensor([figure is not None, figure or 0.0], dtype=torch.float64)
        with noticing():
            dist.broadcast(told, 0)
        return float(told[1]) if told[0] else None

    def gathered(self, row: Tensor) -> list[Tensor]:
        """One tensor of each process, of the same shape in all."""
        rows = [torch.empty_like(row) for _ in range(self.size)]
        with noticing():
            dist.all_gather(rows, row)
        return rows

    def wait(self) -> None:
        """Returns when all processes have come here."""
        self.sums({"here": 1.0})

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """The body is run by the leader, then by the others: what it downloads or writes is there for them."""
        if not self.leads:
            self.wait()
        yield
        if self.leads:
            self.wait()

    def check_same(self, what: str, parts: Sequence[Array]) -> None:
        """Refuses processes that start from different values.

        Raises:
            BadInput: the values are not the same, bit by bit, in all processes.
        """
        if self.size == 1:
            return
        digest = hashlib.sha256()
        for part in parts:
            digest.update(np.ascontiguousarray(part).data)
        digests = self.gathered(torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8))
        other = [rank for rank, theirs in enumerate(digests) if not torch.equal(theirs, digests[0])]
        if other:
            raise BadInput(
                f"process {other[0]} starts with other {what} than process 0: the processes do not read the same data "
                "with the same settings; give all of them the same files and the same command"
            )


ALONE = Workers()
"""A process that trains by itself."""


@contextmanager
def noticing() -> Iterator[None]:
    """Says in one sentence what torch says about a connection in many.

    Raises:
        WorkerLost: another process ended, or did not come for `PATIENCE`.
    """
    try:
        yield
    except RuntimeError as error:
        raise WorkerLost(
            "another process of this training ended or is not answering; its own message, above or below, says why. "
            "Nothing was published; typed again, the command goes on from the last checkpoint "
            f"(torch says: {(str(error).splitlines() or [''])[0]})"
        ) from error


@contextmanager
def process_group() -> Iterator[Workers]:
    """Joins the processes that `torchrun` started, and leaves them however the body ends.

    CPU tensors travel by gloo, those of a GPU by NCCL; a process takes the GPU of its number on its machine.

    Yields:
        The workers; `ALONE` where the environment names no WORLD_SIZE above 1, and then nothing is set up.

    Raises:
        BadConfig: some of the variables are missing or make no sense, or there are too few GPUs.
        WorkerLost: the others did not come.
    """
    workers, local = _read(os.environ)
    if workers.size == 1:
        yield workers
        return
    if torch.cuda.is_available():
        if local >= torch.cuda.device_count():
            raise BadConfig(
                f"process {local} of this machine finds {torch.cuda.device_count()} GPUs and needs one of its own; "
                "start fewer processes, or hide the GPUs (CUDA_VISIBLE_DEVICES=) to train on CPUs"
            )
        torch.cuda.set_device(local)
    with noticing():
        store, rank, size = next(rendezvous("env://", timeout=MEETING))
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
    try:
        yield workers
    finally:
        dist.destroy_process_group()


def _read(given: Mapping[str, str]) -> tuple[Workers, int]:
    """Workers and the number of this process on its machine."""
    if given.get("WORLD_SIZE", "1") == "1":
        return ALONE, 0
    missing = [name for name in _ENVIRONMENT if name not in given]
    if missing:
        raise BadConfig(
            f"WORLD_SIZE={given['WORLD_SIZE']}, but {', '.join(missing)} not set; start several processes with "
            "`torchrun --nproc-per-node=2 -m twotower.train …`, or unset WORLD_SIZE"
        )
    try:
        rank, size, local = (int(given[name]) for name in _ENVIRONMENT[:3])
    except ValueError:
        rank, size, local = -1, 0, 0
    if not 0 <= rank < size or local < 0:
        raise BadConfig(
            f"RANK={given['RANK']}, WORLD_SIZE={given['WORLD_SIZE']} and LOCAL_RANK={given['LOCAL_RANK']} must be "
            "numbers with 0 <= RANK < WORLD_SIZE; `torchrun` sets them"
        )
    return Workers(rank, size), local


def gather_rows(workers: Workers, rows: Tensor) -> Tensor:
    """The rows of all processes, those of process 0 first; each may bring another number. Shape [n, D] -> [sum n, D].

    The gradient that a process receives is the sum of what all processes found for its rows, so that the loss which is
    minimised is the sum of their losses.
    """
    if workers.size == 1:
        return rows
    gathered: Tensor = _GatheredRows.apply(rows, workers)  # type: ignore[no-untyped-call]
    return gathered


def sum_over(workers: Workers, value: Tensor) -> Tensor:
    """A value added up over all processes, as a term of each one's loss; gradients are added up likewise."""
    if workers.size == 1:
        return value
    total: Tensor = _Summed.apply(value, workers)  # type: ignore[no-untyped-call]
    return total


class _GatheredRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, workers: Workers) -> Tensor:
        counts = [int(n) for n in torch.cat(workers.gathered(torch.tensor([len(rows)])))]
        widest = rows.new_zeros(max(counts), *rows.shape[1:])  # gloo gathers equal shapes only
        widest[: len(rows)] = rows
        parts = [part[:n] for part, n in zip(workers.gathered(widest), counts, strict=True)]
        ctx.workers, ctx.counts = workers, counts
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].contiguous().clone()
        ctx.workers.add_up(total)
        return torch.split(total, ctx.counts)[ctx.workers.rank], None


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, workers: Workers) -> Tensor:
        ctx.workers = workers
        total = value.clone()
        workers.add_up(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].clone()
        ctx.workers.add_up(total)
        return total, None
