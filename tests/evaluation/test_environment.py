"""Peak memory: the process's own, rising with what is held, beginning anew where the system offers that."""

import subprocess
import sys

import numpy as np
import pytest

from twotower.evaluation import environment
from twotower.evaluation.environment import held_memory_bytes, peak_memory_bytes, restart_peak

PRINTS_ITS_PEAK = "from twotower.evaluation.environment import peak_memory_bytes; print(peak_memory_bytes())"


def test_the_peak_rises_with_what_is_held():
    before = peak_memory_bytes()
    held = np.ones(before // 8 + 4_000_000)  # more than was ever held
    assert peak_memory_bytes() >= before + 30_000_000
    del held


def test_a_peak_that_began_anew_forgets_what_was_given_back():
    held = np.ones(64_000_000)  # 512 MB, which go back to the system at once
    high = peak_memory_bytes()
    del held
    now = held_memory_bytes()
    if not restart_peak():
        pytest.skip("this system does not offer it")
    assert now is not None
    assert peak_memory_bytes() < now + 100_000_000 < high - 300_000_000


def test_a_system_that_takes_the_request_and_does_nothing_offers_no_new_peak(monkeypatch):
    held = held_memory_bytes() or 0
    monkeypatch.setattr(environment, "peak_memory_bytes", lambda: held + 500_000_000)  # as if it never fell
    assert not restart_peak()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere getrusage is all there is")
def test_a_small_child_of_a_large_process_is_small():
    held = np.ones(100_000_000)  # 800 MB
    ours = peak_memory_bytes()
    child = subprocess.run([sys.executable, "-c", PRINTS_ITS_PEAK], capture_output=True, text=True, check=True)
    assert ours >= held.nbytes
    assert int(child.stdout) < ours - held.nbytes // 2
