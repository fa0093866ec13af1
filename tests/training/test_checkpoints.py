"""Checkpoints of sharded tables: written by any number of processes and read by any other, never half a one."""

import json

import pytest
import torch
from safetensors.torch import save_file

from twotower.nn.distributed import ALONE, Workers
from twotower.nn.sharded_tables import RowShard
from twotower.storage.atomic import sha256_of
from twotower.training.checkpoints import (
    _OWN,
    MAIN,
    _digest,
    flat_states,
    load_flat_states,
    open_checkpoint,
    owners,
    save_checkpoint,
)

TABLE = torch.arange(21.0).view(7, 3)
NAMES = ("module/table", "best/table", "optimizer/0/0/exp_avg")


def written(folder, size: int) -> None:
    """A checkpoint of a table and what belongs to it, as that many processes leave it."""
    whole = {"module/bias": torch.ones(2), "optimizer/0/0/step": torch.tensor(4.0), "epoch/index": torch.ones(7, 3)}
    facts = {"progress": "{}"}
    if size == 1:
        whole |= dict.fromkeys(NAMES, TABLE)
    else:
        for rank in range(size):
            save_file({name: TABLE[rank::size].contiguous() for name in NAMES}, folder / f"tables-0-{rank}")
        facts["tables"] = json.dumps(
            {f"tables-0-{rank}": sha256_of(folder / f"tables-0-{rank}") for rank in range(size)}
        )
    facts[_OWN] = _digest(whole, facts)
    save_file({n: t.clone() for n, t in whole.items()}, folder / MAIN, metadata=facts)


@pytest.mark.parametrize("readers", [1, 2, 3])
@pytest.mark.parametrize("writers", [1, 2, 3])
def test_rows_come_to_whoever_holds_them_now(tmp_path, writers, readers):
    written(tmp_path, writers)
    for rank in range(readers):
        table = RowShard(7, 3, Workers(rank, readers)) if readers > 1 else torch.nn.Parameter(torch.empty(7, 3))
        optimizer = torch.optim.Adam([table])
        shards = {"table": table} if readers > 1 else {}
        owner, saved = owners(shards, [optimizer]), open_checkpoint(tmp_path)
        own = TABLE[rank::readers]
        assert torch.equal(saved.part("module/", owner)["table"], own)
        assert torch.equal(saved.part("best/", owner)["table"], own)
        assert torch.equal(saved.part("module/", owner)["bias"], torch.ones(2))
        assert saved.part("epoch/", owner)["index"].shape == (7, 3)  # as many rows, but nobody's table
        load_flat_states([optimizer], saved, owner)
        assert torch.equal(optimizer.state[table]["exp_avg"], own)
        assert optimizer.state[table]["step"] == 4


def test_without_a_checkpoint_there_is_none(tmp_path):
    assert open_checkpoint(tmp_path) is None


def test_what_optimisers_keep_is_named_by_optimiser_parameter_and_name():
    parameters = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    first, second = torch.optim.Adam(parameters[:1]), torch.optim.SGD(parameters[1:], momentum=0.9, lr=0.1)
    for parameter in parameters:
        parameter.grad = torch.full((2,), 0.5)
    first.step()
    second.step()
    states = flat_states([first, second])
    assert set(states) == {f"optimizer/0/0/{n}" for n in ("step", "exp_avg", "exp_avg_sq")} | {
        "optimizer/1/0/momentum_buffer"
    }


def test_a_leader_that_writes_alone_removes_the_parts_that_no_checkpoint_names_any_more(tmp_path):
    written(tmp_path, 2)
    save_checkpoint(tmp_path, {"module/table": TABLE}, {"progress": "{}"}, owners({}, []), ALONE)
    assert [path.name for path in tmp_path.iterdir()] == [MAIN]
    assert torch.equal(open_checkpoint(tmp_path).whole["module/table"], TABLE)
