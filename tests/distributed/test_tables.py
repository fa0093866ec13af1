"""Sharded tables beside whole ones: the same fresh rows, values and gradients, and the same table when joined."""

import pytest
import torch
from torch import nn

from twotower.nn import sharded_tables
from twotower.nn.distributed import ALONE, Workers
from twotower.nn.sharded_tables import RowShard, clip_gradients, fill_table, new_table, sharding


@pytest.fixture(scope="module")
def whole(worker, together) -> nn.ModuleDict:
    """The same networks in one process, with the gradient of both processes' losses."""
    made = worker.networks()
    modules = nn.ModuleDict(made)
    modules.fresh = {n: p.detach().clone() for n, p in modules.named_parameters()}
    modules.losses = [worker.looked_up(made, rank) for rank in (0, 1)]
    sum(modules.losses).backward()
    return modules


@pytest.fixture
def shards(together) -> list[dict[str, torch.Tensor]]:
    return together.tensors("tables")


def names(shards, part: str) -> list[str]:
    return [name.removeprefix(part) for name in shards[0] if name.startswith(part)]


def test_every_process_starts_with_its_rows_of_the_same_table(whole, shards):
    assert len(names(shards, "fresh/")) == 5
    for name in names(shards, "fresh/"):
        for rank in (0, 1):
            assert torch.equal(shards[rank][f"fresh/{name}"], whole.fresh[name][rank::2]), name


def test_what_is_looked_up_is_what_the_whole_table_gives(whole, shards):
    for rank in (0, 1):
        assert shards[rank]["loss"].item() == pytest.approx(whole.losses[rank].item(), rel=1e-6)


def test_gradients_are_those_of_both_processes_lookups(whole, shards):
    gradients = {n: p.grad for n, p in whole.named_parameters()}
    for name in names(shards, "gradient/"):
        for rank in (0, 1):
            torch.testing.assert_close(shards[rank][f"gradient/{name}"], gradients[name][rank::2], msg=name)
    assert gradients["item_net.identities.weight"][36].abs().sum() > 0  # both processes asked for it
    assert not shards[0]["gradient/item_net.identities.weight"][0].any()  # number 0 means "none" and learns nothing


def test_the_norm_is_that_of_the_whole_gradient_and_all_is_scaled_to_it(whole, shards):
    """Also of what every process holds alike, such as the vector of an item without features."""
    assert whole["item_net"].unnamed.grad.any()
    norm = torch.cat([p.grad.flatten() for p in whole.parameters() if p.grad is not None]).norm()
    for rank in (0, 1):
        assert shards[rank]["norm"].item() == pytest.approx(norm.item(), rel=1e-6)
        for name in names(shards, "clipped/"):
            expected = shards[rank][f"gradient/{name}"] * 0.5 / norm
            torch.testing.assert_close(shards[rank][f"clipped/{name}"], expected)


def test_the_leader_joins_the_tables_and_the_others_keep_their_rows(whole, shards):
    for name in names(shards, "fresh/"):
        assert torch.equal(shards[0][f"joined/{name}"], whole.fresh[name]), name
    assert set(names(shards[1:], "joined/")) == set(whole.fresh) - set(names(shards, "fresh/"))


@pytest.mark.parametrize("dim", [1, 3, 16])
@pytest.mark.parametrize("n_rows", [1, 5, 32, 33, 47, 48, 100])
@pytest.mark.parametrize("draw", [torch.Tensor.normal_, torch.Tensor.uniform_], ids=["normal", "uniform"])
@pytest.mark.parametrize("first", [0, 1])
def test_rows_drawn_in_blocks_are_those_that_are_drawn_at_once(monkeypatch, dim, n_rows, draw, first):
    monkeypatch.setattr(sharded_tables, "BLOCK", 16)
    whole, parts = torch.zeros(n_rows, dim), []
    torch.manual_seed(0)
    draw(whole[first:])
    following = torch.rand(1)
    for rank in range(3):
        part = RowShard(n_rows, dim, Workers(rank, 3))
        nn.init.zeros_(part)
        torch.manual_seed(0)
        fill_table(part, draw, first)
        assert torch.equal(torch.rand(1), following)  # the generator stands where it would stand
        parts.append(part)
    for rank, part in enumerate(parts):
        assert torch.equal(part, whole[rank::3])


def test_small_tables_and_those_of_a_single_process_are_whole():
    with sharding(Workers(1, 2), 10):
        assert isinstance(new_table(10, 2), RowShard)
        assert new_table(10, 2).shape == (5, 2)
        assert new_table(11, 2).shape == (5, 2)
        assert not isinstance(new_table(9, 2), RowShard)
    assert new_table(10, 2).shape == (10, 2)
    for workers, rows in ((ALONE, 10), (Workers(0, 2), None)):
        with sharding(workers, rows):
            assert not isinstance(new_table(10, 2), RowShard)


def test_without_shards_gradients_are_clipped_as_torch_does():
    ours, theirs = nn.Linear(3, 2), nn.Linear(3, 2)
    theirs.load_state_dict(ours.state_dict())
    for module in (ours, theirs):
        module(torch.ones(4, 3)).square().sum().backward()
    norm = clip_gradients(list(ours.parameters()), ALONE, 0.1)
    assert norm == nn.utils.clip_grad_norm_(theirs.parameters(), 0.1).item()
    assert torch.equal(ours.weight.grad, theirs.weight.grad)


@pytest.mark.parametrize("largest", [0.1, 100.0])
def test_sparse_gradients_are_clipped_like_dense_ones(largest):
    ids, norms, gradients = torch.tensor([4, 1, 4]), [], []
    for sparse in (False, True):
        torch.manual_seed(0)
        table, layer = nn.Embedding(6, 3, sparse=sparse), nn.Linear(3, 1)
        layer(table(ids)).square().sum().backward()
        assert table.weight.grad.is_sparse == sparse
        table.weight.grad = table.weight.grad.coalesce() if sparse else table.weight.grad
        norms.append(clip_gradients([table.weight, *layer.parameters()], ALONE, largest))
        gradients.append([table.weight.grad.to_dense(), layer.weight.grad, layer.bias.grad])
    assert norms[0] == pytest.approx(norms[1])
    for dense, sparse in zip(*gradients, strict=True):
        torch.testing.assert_close(dense, sparse)
