"""Peak memory: the process's own, rising with what is held, beginning anew where the system offers that."""

import subprocess
import sys

import numpy as np
import pytest

from twotower.evaluation import machine as environment
from twotower.evaluation.machine import held_memory_bytes, peak_memory_bytes, restart_peak

PRINTS_ITS_PEAK = "from twotower.evaluation.machine import peak_memory_bytes; print(peak_memory_bytes())"


def test_the_peak_rises_with_what_is_held():
    before = peak_memory_bytes()
    held = np.ones(before // 8 + 4_000_000)  # more than was ever held
    assert peak_memory_bytes() >= before + 30_000_000
    del held


GIVES_BACK = """
import numpy as np
from twotower.evaluation.machine import held_memory_bytes, peak_memory_bytes, restart_peak
held = np.ones(64_000_000)
high = peak_memory_bytes()
del held
now = held_memory_bytes()
print(high, now, int(restart_peak()), peak_memory_bytes())
"""


def test_a_peak_that_began_anew_forgets_what_was_given_back():
    """512 MB, in a process of its own: one that has trained keeps what it frees (`keep_freed_memory`)."""
    child = subprocess.run([sys.executable, "-c", GIVES_BACK], capture_output=True, text=True, check=True)
    high, now, restarted, after = map(int, child.stdout.split())
    if not restarted:
        pytest.skip("this system does not offer it")
    assert now < high - 400_000_000
    assert after < now + 100_000_000


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
