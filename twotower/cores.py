"""How many cores and threads this process may use; needs neither torch nor any other library."""

import os
import re


def usable_cores() -> int:
    """Cores that this process may run on, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_limit() -> int | None:
    """Threads that `OMP_NUM_THREADS` allows; None where it is not set, or not to a number from 1.

    Of a list such as "4,2", for nested parallelism, the first number counts.
    """
    number = re.match(r"\s*(\d+)", os.environ.get("OMP_NUM_THREADS", ""))
    return int(number[1]) or None if number else None
