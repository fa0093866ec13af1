"""Two processes fit what one fits: the same curve of losses, and each goes on from the other's checkpoint."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors import safe_open

from twotower.errors import BundleError
from twotower.models.two_tower.estimator import TwoTower
from twotower.nn.distributed import ALONE
from twotower.training.context import FitContext

TOLERANCE = 1e-4
"""Relative, per epoch and term. Sums run in another order, and Adam amplifies what is left of gradients near 0."""


def assert_same_curve(ours: list[dict], theirs: list[dict]) -> None:
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert set(a) == set(b)
        for name in set(a) - {"seconds", "validation"}:
            assert a[name] == pytest.approx(b[name], rel=TOLERANCE), (name, a["epoch"])
        assert a["validation"] == pytest.approx(b["validation"], abs=0.01)


@pytest.fixture(scope="module")
def alone(worker, two_tastes, one_thread):
    """The fitted model of one process, by name; each is fitted once."""
    fitted: dict[str, TwoTower] = {}

    def fit(name: str) -> TwoTower:
        if name not in fitted:
            fitted[name] = worker.estimator(name).fit(two_tastes)
        return fitted[name]

    return fit


FITS = [
    "joint, whole catalogue", "joint, sampled", "multi_cos", "multi_cos_affine", "sharded", "row-wise",
    "sharded, row-wise",
]  # fmt: skip
RESUMED = ["joint, sampled", "sharded", "row-wise", "sharded, row-wise"]
STEPS = [*FITS, "one window a batch", "one position for RankNet", "by category", "features only"]


def test_every_fit_is_compared(worker):
    assert (list(worker.FITS), list(worker.STEPS)) == (FITS, STEPS)


@pytest.mark.parametrize("name", STEPS)
def test_losses_and_gradients_of_the_first_steps_are_those_of_one_process(together, worker, one_thread, name):
    expected = worker.first_steps(name, ALONE)
    assert expected["1/loss"] > 0
    for rank, found in enumerate(together.tensors(name)):
        assert set(found) == set(expected)
        for key, tensor in expected.items():
            mine = tensor if tensor.shape == found[key].shape else tensor[rank::2]  # of a sharded table
            torch.testing.assert_close(found[key], mine, rtol=1e-4, atol=1e-6, msg=f"{key} in process {rank}")


@pytest.mark.parametrize("name", FITS)
def test_two_processes_have_the_curve_of_one(together, alone, name):
    first, second = (curves[name] for curves in together.facts("fits"))
    assert [{**row, "seconds": 0} for row in first] == [{**row, "seconds": 0} for row in second]
    assert_same_curve(first, alone(name).progress[0].history)


@pytest.mark.parametrize("name", FITS)
def test_what_two_processes_fitted_is_an_ordinary_model(together, alone, name):
    ours, theirs = TwoTower.load(together.folder / "models" / name), alone(name)
    assert {n: t.shape for n, t in ours.encoder.model.state_dict().items()} == {
        n: t.shape for n, t in theirs.encoder.model.state_dict().items()
    }
    np.testing.assert_allclose(ours.item_vectors, theirs.item_vectors, atol=0.02)


@pytest.mark.parametrize("name", RESUMED)
def test_two_processes_go_on_from_the_checkpoint_of_one(together, alone, name):
    for curves in together.facts("fits"):
        assert_same_curve(curves[f"resumed {name}"], alone(name).progress[0].history)


@pytest.mark.parametrize("name", RESUMED)
def test_one_process_goes_on_from_the_checkpoint_of_two(together, alone, worker, two_tastes, tmp_path, name):
    shutil.copytree(together.folder / "by two" / name, tmp_path / "work")
    with safe_open(tmp_path / "work" / "checkpoints" / "checkpoint.safetensors", framework="pt") as file:
        at = json.loads(file.metadata()["progress"])
    assert at["epoch"] * 5 + at["batch"] == worker.KILLED_AFTER  # 5 steps an epoch
    resumed = worker.estimator(name).fit(two_tastes, FitContext(tmp_path / "work"))
    assert_same_curve(resumed.progress[0].history, alone(name).progress[0].history)
    assert resumed.progress[0].examples == alone(name).progress[0].examples


@pytest.mark.parametrize("name", RESUMED)
def test_two_processes_go_on_exactly_from_their_own_checkpoint(together, name):
    for curves in together.facts("fits"):
        unkilled, resumed = ([{**row, "seconds": 0} for row in curves[key]] for key in (name, f"again {name}"))
        assert resumed == unkilled


def test_sharded_tables_are_saved_by_the_process_that_holds_them_and_nothing_else_lies_there(together):
    folder = together.folder / "by two" / "sharded" / "checkpoints"
    names = sorted(path.name for path in folder.iterdir())
    assert names[0] == "checkpoint.safetensors"
    assert [name.rpartition("-")[2] for name in names[1:]] == ["0of2.safetensors", "1of2.safetensors"]
    rows = []
    for name in names[1:]:
        with safe_open(folder / name, framework="pt") as file:
            assert {key.partition("/")[0] for key in file.keys()} == {"module", "best", "optimizer"}  # noqa: SIM118
            rows.append(file.get_slice("module/item_net.identities.weight").get_shape()[0])
    assert rows == [24, 23]  # 46 items with events, and none
    with safe_open(folder / names[0], framework="pt") as file:
        assert "module/item_net.identities.weight" not in file.keys()  # noqa: SIM118


def test_a_damaged_or_missing_part_of_a_checkpoint_is_refused(together, worker, two_tastes, tmp_path):
    shutil.copytree(together.folder / "by two" / "sharded", tmp_path / "work")
    part = next((tmp_path / "work" / "checkpoints").glob("tables-*-1of2.safetensors"))
    part.write_bytes(part.read_bytes()[:-1] + b"!")
    with pytest.raises(
        BundleError, match=r"1of2\.safetensors is missing or not what was written; discard the checkpoint"
    ):
        worker.estimator("sharded").fit(two_tastes, FitContext(tmp_path / "work"))
    part.unlink()
    with pytest.raises(BundleError, match="is missing or not what was written"):
        worker.estimator("sharded").fit(two_tastes, FitContext(tmp_path / "work"))
