"""Where and how tensors are computed: device, threads, autocast."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
import torch.utils.deterministic

from twotower.cores import thread_limit, usable_cores
from twotower.errors import BadConfig


def pick_device(name: str) -> torch.device:
    """Device by option: "auto" takes a GPU where there is one.

    Raises:
        BadConfig: an unknown name, or "cuda" without a GPU.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise BadConfig("device=cuda, but torch sees no GPU; use device=auto or cpu")
    if name not in ("cpu", "cuda"):
        raise BadConfig(f"device={name!r} is unknown; use auto, cpu or cuda")
    return torch.device(name)


def set_threads(threads: int | None) -> int:
    """Sets torch's compute threads; None keeps OMP_NUM_THREADS or takes one per available core. Returns the number."""
    if threads is not None:
        if threads < 1:
            raise BadConfig(f"threads={threads} must be at least 1, or null for one per core")
        torch.set_num_threads(threads)
    elif thread_limit() is None:
        torch.set_num_threads(usable_cores())
    return torch.get_num_threads()


def keep_freed_memory() -> bool:
    """Asks glibc to keep freed blocks instead of giving them back; True where it agreed.

    A training step allocates and frees the same large tensors thousands of times. By default each goes back to the
    kernel and comes again page by page, zeroed: on the demo market that was a tenth of all CPU time.
    """
    if not sys.platform.startswith("linux") or not hasattr(ctypes.CDLL(None), "mallopt"):
        return False
    libc = ctypes.CDLL(None)
    mmap_threshold, trim_threshold, one_gib = -3, -1, 1 << 30
    return bool(libc.mallopt(mmap_threshold, one_gib)) and bool(libc.mallopt(trim_threshold, one_gib))


def seed_draws(seed: int) -> None:
    """As `torch.manual_seed` for the CPU and GPUs in use, without its search for other devices: half a millisecond."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Lets a CPU with several threads add up in the same order at every run; it costs nothing that could be measured.

    By default the gradient of `table[rows]` adds what threads bring in the order in which they come. On a GPU more
    operations are like that, and slow or missing in an ordered form: there nothing is changed or promised.
    Torch would also fill all new memory with NaN, to show up who reads what nobody wrote; that does cost.
    """
    memory: Any = torch.utils.deterministic  # its type stubs do not know the setting
    before, filled = torch.are_deterministic_algorithms_enabled(), memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(before or device.type == "cpu")
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        memory.fill_uninitialized_memory = filled


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 on a GPU that has it in hardware; full precision elsewhere, where it would not pay."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()
