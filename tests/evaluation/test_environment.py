"""Peak memory: the process's own, rising with what is held, beginning anew where the system offers that."""

import subprocess
import sys

import numpy as np
import pytest

from twotower.evaluation.environment import peak_memory_bytes, restart_peak

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
    if not restart_peak():
        pytest.skip("this system does not offer it")
    assert peak_memory_bytes() < high - 400_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere getrusage is all there is")
def test_a_small_child_of_a_large_process_is_small():
    held = np.ones(100_000_000)  # 800 MB
    ours = peak_memory_bytes()
    child = subprocess.run([sys.executable, "-c", PRINTS_ITS_PEAK], capture_output=True, text=True, check=True)
    assert ours >= held.nbytes
    assert int(child.stdout) < ours - held.nbytes // 2
