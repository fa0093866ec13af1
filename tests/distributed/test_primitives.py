"""What processes tell each other: gathered rows and sums with their gradients, the leader's word, refusals."""

import os

import numpy as np
import pytest
import torch
from torch import Tensor

from twotower.errors import BadConfig
from twotower.nn.distributed import ALONE, Workers, gather_rows, process_group, sum_over


def test_gathered_rows_are_those_of_all_processes_and_their_gradients_are_summed(together):
    """Process r weighs row elements 0, 1, 2 … by 1 + r; both losses together weigh them by 1 + 2 = 3."""
    first, second = together.tensors("primitives")
    rows = [[0.0, 1], [10, 11], [12, 13], [14, 15]]  # one row of process 0, three of process 1
    for found in (first, second):
        assert found["uneven/rows"].tolist() == rows
    assert first["uneven/gradient"].tolist() == [[0.0, 3]]
    assert second["uneven/gradient"].tolist() == [[6.0, 9], [12, 15], [18, 21]]


def test_a_process_without_rows_receives_those_of_the_others(together):
    first, second = together.tensors("primitives")
    assert first["none/rows"].tolist() == second["none/rows"].tolist() == [[10.0, 11], [12, 13]]
    assert first["none/gradient"].shape == (0, 2)
    assert second["none/gradient"].tolist() == [[0.0, 3], [6, 9]]


def test_a_sum_over_processes_and_its_gradient(together):
    """Each loss is (3 + 4)² / 2; both together 7², whose derivative by either value is 14."""
    for found in together.tensors("primitives"):
        assert found["total"].item() == 7
        assert found["total/gradient"].item() == 14


def test_gradients_of_many_shapes_are_added_up_in_one_message(together):
    for found in together.tensors("primitives"):
        assert torch.equal(found["a"], torch.full((2, 3), 3.0))  # 1 + 2
        assert torch.equal(found["b"], torch.full((4,), 10.0))  # 0 + 10


def test_figures_are_the_leaders(together):
    for told in together.facts("told"):
        assert told["figures"] == [None, 0.25, 0.0]
        assert told["sums"] == {"loss": 3.0, "n": 1.0}


def test_the_leader_goes_first(together):
    assert [told["seen"] for told in together.facts("told")] == [False, True]


def test_processes_that_start_from_different_weights_are_refused_in_all(together):
    for told in together.facts("told"):
        assert "process 1 starts with other weights than process 0" in told["refused"]
        assert "give all of them the same files and the same command" in told["refused"]


def test_a_process_that_is_gone_is_noticed_at_once(together):
    said = together.facts("lost")
    assert len(said) == 1  # the other one said nothing
    assert "another process of this training ended or is not answering" in said[0]
    assert "typed again, the command goes on from the last checkpoint" in said[0]


def test_blocks_of_an_array_are_consecutive_and_complete(together):
    assert [told["block"] for told in together.facts("told")] == [[0, 1, 2], [3, 4]]


def test_alone_nothing_is_changed_and_nobody_is_asked():
    rows = torch.ones(2, 2, requires_grad=True)
    assert gather_rows(ALONE, rows) is rows
    assert sum_over(ALONE, rows) is rows
    values = np.arange(3)
    assert ALONE.block(values) is values
    assert ALONE.from_leader(None) is None
    assert ALONE.sums({"loss": 0.1}) == {"loss": 0.1}
    with ALONE.leader_first():
        ALONE.wait()
    ALONE.check_same("weights", [values])
    ALONE.add_up_all([Tensor([1.0])])


@pytest.mark.parametrize("given", [{}, {"WORLD_SIZE": "1"}, {"WORLD_SIZE": "1", "RANK": "0"}])
def test_without_a_second_process_no_group_is_made(monkeypatch, given):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with process_group() as workers:
        assert workers == Workers(0, 1)
        assert not torch.distributed.is_initialized()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE=2, but RANK, LOCAL_RANK, MASTER_ADDR, MASTER_PORT not set; start several"),
        ({"RANK": "2", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}, "RANK=2, WORLD_SIZE=2 and LOCAL_RANK=0 must be numbers"),
        ({"RANK": "one", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}, "RANK=one, WORLD_SIZE=2"),
    ],
)
def test_an_environment_that_makes_no_sense_is_refused(monkeypatch, given, says):
    whole = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"} if "RANK" in given else {}
    for name in [name for name in os.environ if name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")]:
        monkeypatch.delenv(name)
    for name, value in (given | whole).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadConfig, match=says), process_group():
        pass
