"""Devices, threads and autocast by option."""

import contextlib
import sys

import pytest
import torch

from twotower.errors import BadConfig
from twotower.nn.device import autocast, keep_freed_memory, pick_device, repeatable, set_threads


@pytest.fixture
def threads():
    """Puts the number of threads back."""
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


def test_auto_takes_what_is_there(monkeypatch):
    for gpu, name in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda gpu=gpu: gpu)
        assert pick_device("auto").type == name


def test_a_missing_gpu_is_said(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadConfig, match="no GPU; use device"):
        pick_device("cuda")


def test_an_unknown_device_is_refused():
    with pytest.raises(BadConfig, match="device='tpu' is unknown"):
        pick_device("tpu")


def test_given_threads_win(threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert set_threads(2) == 2 == torch.get_num_threads()


def test_without_an_option_the_environment_decides(threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert set_threads(None) == threads


def test_without_either_there_is_a_thread_per_core(threads, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert set_threads(None) == 3


def test_no_threads_are_refused(threads):
    with pytest.raises(BadConfig, match="threads=0"):
        set_threads(0)


def test_on_a_cpu_everything_stays_in_full_precision():
    with autocast(torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks glibc")
def test_freed_memory_is_kept_where_glibc_is():
    assert keep_freed_memory()


def test_elsewhere_memory_is_left_alone(monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    assert not keep_freed_memory()


def test_several_threads_add_up_the_same_gradient_every_time(threads):
    torch.set_num_threads(2)
    generator = torch.Generator().manual_seed(0)
    rows, weights = torch.randint(50, (200_000,), generator=generator), torch.rand(200_000, 4, generator=generator)

    def gradient() -> torch.Tensor:
        table = torch.zeros(50, 4, requires_grad=True)
        (table[rows] * weights).sum().backward()
        return table.grad

    with repeatable(torch.device("cpu")):
        gradients = [gradient() for _ in range(5)]
    assert all(torch.equal(gradients[0], other) for other in gradients)


def test_what_was_chosen_before_is_put_back(threads):
    for before in (True, False):
        torch.use_deterministic_algorithms(before)
        with contextlib.suppress(KeyError), repeatable(torch.device("cpu")):
            assert torch.are_deterministic_algorithms_enabled()
            raise KeyError
        assert torch.are_deterministic_algorithms_enabled() is before


def test_a_gpu_is_left_as_it_is():
    with repeatable(torch.device("cuda")):
        assert not torch.are_deterministic_algorithms_enabled()
