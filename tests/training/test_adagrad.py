"""`RowAdagrad` against torch's Adagrad."""

import pytest
import torch

from twotower.errors import BadConfig
from twotower.training.adagrad import RowAdagrad


def sparse_gradient(rows: list[int], generator: torch.Generator) -> torch.Tensor:
    values = torch.randn(len(rows), 3, generator=generator)
    return torch.sparse_coo_tensor(torch.tensor([rows]), values, (6, 3), check_invariants=True)


@pytest.mark.parametrize("rows", [[4, 0, 2], [4, 0, 4, 4]], ids=["distinct", "repeated"])
def test_steps_are_those_of_adagrad(rows):
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(6, 3, generator=generator)
    ours, theirs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    mine, reference = RowAdagrad([ours], lr=0.3), torch.optim.Adagrad([theirs], lr=0.3)
    for _ in range(4):
        ours.grad = sparse_gradient(rows, generator)
        theirs.grad = ours.grad.to_dense()
        mine.step()
        reference.step()
    torch.testing.assert_close(ours, theirs)
    assert (ours[[1, 3, 5]] == start[[1, 3, 5]]).all()


def test_a_step_without_size_is_refused():
    with pytest.raises(BadConfig, match="lr=0 must be above 0"):
        RowAdagrad([torch.nn.Parameter(torch.zeros(1, 1))], lr=0)


def test_row_wise_every_weight_of_a_row_moves_at_the_rows_pace():
    """Gradients (3, 4), then (0, 1): mean squares 12.5 and 12.5 + 0.5 = 13; lr 2."""
    table = torch.nn.Parameter(torch.zeros(3, 2))
    optimizer = RowAdagrad([table], lr=2.0, row_wise=True)
    for gradient in ([3.0, 4.0], [0.0, 1.0]):
        table.grad = torch.sparse_coo_tensor(
            torch.tensor([[1]]), torch.tensor([gradient]), (3, 2), check_invariants=True
        )
        optimizer.step()
    moved = [-2 * 3 / 12.5**0.5, -2 * 4 / 12.5**0.5 - 2 * 1 / 13**0.5]
    torch.testing.assert_close(table.detach(), torch.tensor([[0.0, 0.0], moved, [0.0, 0.0]]))
    kept = optimizer.state[table]["sum"]
    assert kept.shape == (3, 1)  # one number a row
    assert kept.flatten().tolist() == [0, 13, 0]
