"""Where and how tensors are computed: device, threads, autocast."""

import os
from contextlib import AbstractContextManager, nullcontext

import torch

from twotower.errors import BadConfig


def pick_device(name: str) -> torch.device:
    """Device by option: "auto" takes a GPU where there is one.

    Raises:
        BadConfig: an unknown name, or "cuda" without a GPU.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise BadConfig("train.device=cuda, but torch sees no GPU; use train.device=auto or cpu")
    if name not in ("cpu", "cuda"):
        raise BadConfig(f"train.device={name!r} is unknown; use auto, cpu or cuda")
    return torch.device(name)


def set_threads(threads: int | None) -> int:
    """Sets torch's compute threads; None keeps OMP_NUM_THREADS or takes one per available core. Returns the number."""
    if threads is not None:
        if threads < 1:
            raise BadConfig(f"train.threads={threads} must be at least 1, or null for one per core")
        torch.set_num_threads(threads)
    elif "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    return torch.get_num_threads()


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 on a GPU that has it in hardware; full precision elsewhere, where it would not pay."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()
