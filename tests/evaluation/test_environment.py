"""Peak memory: it is the process's own, however large the one that started it."""

import subprocess
import sys

import numpy as np
import pytest

from twotower.evaluation.environment import peak_memory_bytes

PRINTS_ITS_PEAK = "from twotower.evaluation.environment import peak_memory_bytes; print(peak_memory_bytes())"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere getrusage is all there is")
def test_a_small_child_of_a_large_process_is_small():
    held = np.ones(100_000_000)  # 800 MB
    ours = peak_memory_bytes()
    child = subprocess.run([sys.executable, "-c", PRINTS_ITS_PEAK], capture_output=True, text=True, check=True)
    assert ours >= held.nbytes
    assert int(child.stdout) < ours - held.nbytes // 2
