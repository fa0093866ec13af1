"""Checkpoints of a training: named tensors and facts in safetensors, written by any number of processes, read by any.

`checkpoint.safetensors` holds everything but sharded tables. Of those every process writes its rows, with the state
that its optimisers keep for them, into a file of its own; the names and digests of these files stand in the main file,
which is renamed into place last. So a kill at any moment leaves the checkpoint before, whole.

`torch.distributed.checkpoint` is not used: its `.metadata` and `.distcp` files are pickles, and nothing is unpickled
here.
"""

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import Optimizer

from twotower.errors import BundleError
from twotower.nn.distributed import Workers
from twotower.nn.sharded_tables import RowShard
from twotower.storage.atomic import sha256_of
from twotower.storage.manifest import reading
from twotower.storage.whole_file import remove_parts, write_whole

MAIN = "checkpoint.safetensors"
_OWN = "sha256"
_REMEDY = "discard it with resume=false"
Owner = Callable[[str], RowShard | None]
"""Name of a tensor in a checkpoint to the sharded table that it belongs to, or to None."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What a checkpoint holds.

    Attributes:
        facts: strings.
        whole: tensors that were not split.
        split: files with the rows of process 0, 1, … of the training that wrote them; none if nothing was split.
    """

    facts: Mapping[str, str]
    whole: Mapping[str, Tensor]
    split: tuple[Path, ...] = ()

    def part(self, prefix: str, owner: Owner) -> dict[str, Tensor]:
        """The tensors whose names begin alike, by the rest of their names; of sharded tables the rows held here now."""
        names = list(self.whole)
        if self.split:
            with safe_open(self.split[0], framework="pt") as file:
                names += list(file.keys())
        return {n.removeprefix(prefix): self._tensor(n, owner(n)) for n in names if n.startswith(prefix)}

    def _tensor(self, name: str, shard: RowShard | None) -> Tensor:
        """One tensor, or of one with as many rows as the whole of a sharded table those of this process."""
        parts = [self.whole[name]] if name in self.whole else [_read(path, name) for path in self.split]
        n_rows = sum(len(part) for part in parts) if parts[0].ndim else 0
        rank, size = (
            (shard.workers.rank, shard.workers.size) if shard is not None and n_rows == shard.n_rows else (0, 1)
        )
        if len(parts) == size == 1:
            return parts[0]
        rows = torch.arange(rank, n_rows, size)
        wanted = parts[0].new_empty(len(rows), *parts[0].shape[1:])
        for writer, part in enumerate(parts):
            here = rows % len(parts) == writer
            wanted[here] = part[rows[here] // len(parts)]
        return wanted


def save_checkpoint(
    directory: Path, state: Mapping[str, Tensor], facts: Mapping[str, str], owner: Owner, workers: Workers
) -> None:
    """Writes a checkpoint beside the old one and exchanges them; where tables are sharded, all processes write it."""
    directory.mkdir(parents=True, exist_ok=True)
    shards = {n for n, t in state.items() if (table := owner(n)) is not None and t.shape[:1] == table.shape[:1]}
    split: list[str] = []
    if shards:
        stamp = int(workers.from_leader(float(secrets.randbits(40))) or 0)
        split = [f"tables-{stamp:010x}-{rank}of{workers.size}.safetensors" for rank in range(workers.size)]
        own = directory / split[workers.rank]
        _write(own, {n: t for n, t in state.items() if n in shards}, {})
        digests = workers.gathered(torch.frombuffer(bytearray.fromhex(sha256_of(own)), dtype=torch.uint8))
        files = {name: digest.numpy().tobytes().hex() for name, digest in zip(split, digests, strict=True)}
        facts = {**facts, "tables": json.dumps(files)}
    if workers.leads:
        whole = {n: t.detach().cpu().contiguous().clone() for n, t in state.items() if n not in shards}
        _write(directory / MAIN, whole, {**facts, _OWN: _digest(whole, facts)})
        for old in directory.glob("tables-*"):
            if old.name not in split:
                old.unlink()
        remove_parts(directory)


def open_checkpoint(directory: Path) -> Saved | None:
    """The checkpoint of a directory, if there is one.

    Raises:
        BundleError: the file, or one with sharded tables, is missing or not what was written.
    """
    path = directory / MAIN
    if not path.exists():
        return None
    with reading(path, _REMEDY):
        with safe_open(path, framework="pt") as file:
            facts = dict(file.metadata() or {})
        whole = load_file(path)
        if facts.pop(_OWN, None) != _digest(whole, facts):
            raise BundleError(f"{path} is damaged: its content is not what was written; {_REMEDY}")
        files: dict[str, str] = json.loads(facts.get("tables", "{}"))
    for name, digest in files.items():
        if not (directory / name).exists() or sha256_of(directory / name) != digest:
            raise BundleError(
                f"{directory / name} is missing or not what was written; discard the checkpoint with "
                "resume=false, or copy the files of all processes to where every process can read them"
            )
    return Saved(facts, whole, tuple(directory / name for name in files))


def _digest(tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> str:
    """SHA-256 of names, types, shapes and bytes of tensors, and of facts."""
    digest = hashlib.sha256(json.dumps(sorted(facts.items())).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return digest.hexdigest()


def _write(path: Path, state: Mapping[str, Tensor], facts: Mapping[str, str]) -> None:
    tensors = {n: t.detach().cpu().contiguous().clone() for n, t in state.items()}
    write_whole(path, lambda beside: save_file(tensors, beside, metadata=dict(facts)))


def _read(path: Path, name: str) -> Tensor:
    with safe_open(path, framework="pt") as file:
        tensor: Tensor = file.get_tensor(name)
    return tensor


def flat_states(optimizers: Sequence[Optimizer]) -> dict[str, Tensor]:
    """What optimisers keep, as named tensors: number of the optimiser, of the parameter, name."""
    return {
        f"optimizer/{i}/{number}/{name}": torch.as_tensor(value)
        for i, optimizer in enumerate(optimizers)
        for number, kept in optimizer.state_dict()["state"].items()
        for name, value in kept.items()
    }


def load_flat_states(optimizers: Sequence[Optimizer], saved: Saved, owner: Owner) -> None:
    """Gives optimisers what a checkpoint has of `flat_states`."""
    for i, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in saved.part(f"optimizer/{i}/", owner).items():
            number, name = key.split("/", 1)
            state.setdefault(int(number), {})[name] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def owners(shards: Mapping[str, RowShard], optimizers: Sequence[Optimizer]) -> Owner:
    """Tells which sharded table a tensor of a checkpoint belongs to: its rows, or what an optimiser keeps for them.

    Args:
        shards: the sharded tables of the networks, by name.
        optimizers: of the networks' parameters.
    """
    parameters = [[p for group in optimizer.param_groups for p in group["params"]] for optimizer in optimizers]

    def owner(name: str) -> RowShard | None:
        part, _, rest = name.partition("/")
        if part == "optimizer":
            which, number, _ = rest.split("/", 2)
            parameter = parameters[int(which)][int(number)]
            return parameter if isinstance(parameter, RowShard) else None
        return shards.get(rest) if part in ("module", "best") else None

    return owner
