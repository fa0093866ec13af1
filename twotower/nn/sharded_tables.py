"""Embedding tables whose rows are split over the processes of a training: lookup, fresh weights, gradients, joining."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from twotower.nn.distributed import ALONE, Workers, noticing
from twotower.types import Array

BLOCK = 65_536
"""Rows of fresh weights drawn at once. A multiple of 16: torch draws normal numbers in groups of 16 of them."""


class RowShard(nn.Parameter):
    """Rows rank, rank + size, rank + 2 size, … of a table: neighbouring ids, often alike in demand, lie apart.

    An optimiser sees an ordinary parameter and keeps its state for these rows only. Gradients need no averaging: those
    of other processes arrive by the way that their rows went.

    Source: the row-wise sharding of Ivchenko et al., "TorchRec: a PyTorch Domain Library for Recommendation Systems",
    2022, with rows dealt out in turn instead of in blocks.

    Attributes:
        workers: the processes that hold the table.
        n_rows: rows of the whole table.
    """

    workers: Workers
    n_rows: int

    def __new__(cls, n_rows: int, dim: int, workers: Workers) -> "RowShard":
        """Memory for this process's rows, not yet filled."""
        own = len(range(workers.rank, n_rows, workers.size))
        shard = torch.Tensor._make_subclass(cls, torch.empty(own, dim), True)
        shard.workers, shard.n_rows = workers, n_rows
        return shard

    def __init__(self, n_rows: int, dim: int, workers: Workers) -> None:
        pass  # made in __new__, as every parameter


_SHARDING: ContextVar[tuple[Workers, int] | None] = ContextVar("sharding", default=None)


@contextmanager
def sharding(workers: Workers, from_rows: int | None) -> Iterator[None]:
    """Tables made inside with at least `from_rows` rows are `RowShard`s; with None, or alone, nothing is."""
    token = _SHARDING.set(None if from_rows is None or workers.size == 1 else (workers, from_rows))
    try:
        yield
    finally:
        _SHARDING.reset(token)


def new_table(n_rows: int, dim: int) -> nn.Parameter:
    """Memory for a table, or for this process's rows of it inside `sharding`; to be filled by `fill_table`."""
    workers, from_rows = _SHARDING.get() or (ALONE, n_rows + 1)
    return RowShard(n_rows, dim, workers) if n_rows >= from_rows else nn.Parameter(torch.empty(n_rows, dim))


@torch.no_grad()
def fill_table(table: Tensor, draw: Callable[[Tensor], object], first: int = 0) -> None:
    """Fills rows from `first` on with what `draw` puts into tensors; a shard gets what the whole table would get there.

    Args:
        table: a parameter made by `new_table`.
        draw: fills any tensor in place, each number from the same distribution, e.g. `Tensor.normal_`.
        first: rows before it are left as they are.
    """
    if not isinstance(table, RowShard):
        draw(table[first:])
        return
    edges = [*range(first, table.n_rows, BLOCK), table.n_rows]
    if len(edges) > 2 and edges[-1] - edges[-2] < 16:
        del edges[-2]  # torch draws fewer than 16 normal numbers in another way
    for low, high in pairwise(edges):
        block = torch.empty(high - low, table.shape[1])
        draw(block)
        rows = torch.arange(low, high)
        own = rows % table.workers.size == table.workers.rank
        table[rows[own] // table.workers.size] = block[own].to(table.device)


def local_rows(table: Tensor, ids: Tensor, *, sparse: bool = False) -> tuple[Tensor, Tensor]:
    """A table that holds the wanted rows, and the ids in it: the table itself, or what its processes sent.

    Args:
        table: a parameter or a `RowShard`; of one, all its processes must ask at the same time.
        ids: rows of the whole table, any shape.
        sparse: give a `RowShard` a sparse gradient, of the rows that were asked for.

    Returns:
        Ids of the same shape, and the rows that they mean. Shape [n, D].
    """
    if not isinstance(table, RowShard):
        return ids, table
    unique, where = torch.unique(ids, return_inverse=True)
    rows: Tensor = _Fetched.apply(table, unique, table.workers, sparse)  # type: ignore[no-untyped-call]
    return where, rows


class _Fetched(torch.autograd.Function):
    """Asks each row's owner for it; on the way back every owner adds up what all processes found for its rows."""

    @staticmethod
    def forward(ctx: Any, shard: Tensor, ids: Tensor, workers: Workers, sparse: bool) -> Tensor:
        owner = ids % workers.size
        order = owner.argsort(stable=True)
        wanted = torch.bincount(owner, minlength=workers.size).tolist()
        asked = torch.stack(workers.gathered(torch.tensor(wanted)))[:, workers.rank].tolist()
        own = _exchange((ids // workers.size)[order], wanted, asked)
        rows = torch.empty(len(ids), shard.shape[1], dtype=shard.dtype, device=shard.device)
        rows[order] = _exchange(shard[own], asked, wanted)
        ctx.save_for_backward(order, own)
        ctx.wanted, ctx.asked, ctx.shape, ctx.sparse = wanted, asked, shard.shape, sparse
        return rows

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        order, own = ctx.saved_tensors
        arrived = _exchange(gradients[0][order], ctx.wanted, ctx.asked)
        if ctx.sparse:
            return torch.sparse_coo_tensor(own[None], arrived, ctx.shape, check_invariants=False), None, None, None
        return arrived.new_zeros(ctx.shape).index_add_(0, own, arrived), None, None, None


def _exchange(rows: Tensor, sent: Sequence[int], received: Sequence[int]) -> Tensor:
    """Sends the first `sent[0]` rows to process 0, the next `sent[1]` to process 1, …; gives what arrives, likewise."""
    arrived = rows.new_empty(sum(received), *rows.shape[1:])
    with noticing():
        dist.all_to_all_single(arrived, rows.contiguous(), list(received), list(sent))
    return arrived


def shards_of(module: nn.Module) -> dict[str, RowShard]:
    """The sharded tables of a module by their names."""
    return {name: p for name, p in module.named_parameters() if isinstance(p, RowShard)}


def whole_tensors(module: nn.Module) -> list[Array]:
    """The tensors of a module that every process holds alike."""
    shards = shards_of(module)
    return [t.detach().cpu().numpy() for name, t in module.state_dict().items() if name not in shards]


def clip_gradients(parameters: Sequence[Tensor], workers: Workers, largest: float) -> float:
    """Scales gradients down to a norm; the norm is of the whole model, shards in other processes included.

    Args:
        parameters: all of the model's; those without a gradient are left out, sparse ones are coalesced.
        workers: the processes that train together.
        largest: norm that gradients may have.

    Returns:
        The norm before.
    """
    moved = [p for p in parameters if p.grad is not None]
    if not any(isinstance(p, RowShard) or _gradient(p).is_sparse for p in moved):
        return float(nn.utils.clip_grad_norm_(moved, largest))
    square = sum(float(_gradient(p).norm()) ** 2 for p in moved if not isinstance(p, RowShard))
    shards = sum(float(_gradient(p).norm()) ** 2 for p in moved if isinstance(p, RowShard))
    norm = float((square + workers.sums({"square": shards})["square"]) ** 0.5)
    if norm > largest:
        for parameter in moved:
            _gradient(parameter).mul_(largest / norm)
    return norm


def _gradient(parameter: Tensor) -> Tensor:
    """The gradient of a parameter that has one."""
    assert parameter.grad is not None
    return parameter.grad


@torch.no_grad()
def join_tables(module: nn.Module) -> None:
    """Makes whole tables of the leader's shards; in the other processes the module stays as it is."""
    for name, shard in shards_of(module).items():
        workers = shard.workers
        if not workers.leads:
            with noticing():
                dist.send(shard.detach().contiguous(), 0)
            continue
        whole = shard.new_empty(shard.n_rows, shard.shape[1])
        whole[:: workers.size] = shard
        for rank in range(1, workers.size):
            part = shard.new_empty(len(range(rank, shard.n_rows, workers.size)), shard.shape[1])
            with noticing():
                dist.recv(part, rank)
            whole[rank :: workers.size] = part
        parent, _, leaf = name.rpartition(".")
        setattr(module.get_submodule(parent), leaf, nn.Parameter(whole))
