"""Facts about where figures were measured: machine, versions, peak memory; nothing that names a person or a host."""

import os
import platform
import resource
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import twotower
from twotower.cores import usable_cores

LIBRARIES = ("numpy", "scipy", "pandas", "pyarrow", "torch", "faiss-cpu", "annoy", "scikit-learn")


_STATUS = Path("/proc/self/status")
_SLACK = 64 * 2**20
"""Bytes between two readings that count as the same: the kernel adds up threads late."""


def versions(libraries: Sequence[str] = LIBRARIES) -> dict[str, str]:
    """Versions of Python, this package and the libraries that are installed."""
    found = {"python": platform.python_version(), "twotower": twotower.__version__}
    for library in libraries:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, str | int | float]:
    """System, processor, usable cores and memory in GiB; threads where a variable limits them."""
    facts: dict[str, str | int | float] = {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": usable_cores(),
    }
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        facts["memory_gib"] = round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
    if "OMP_NUM_THREADS" in os.environ:
        facts["OMP_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"]
    return facts


def peak_memory_bytes() -> int:
    """The most memory that this process has held so far, or since `restart_peak` (peak resident set size).

    Where the kernel tells it by process (`VmHWM`) that is taken: `getrusage` of Linux also counts what the parent held
    when it started this one, so that a child of a large process never looks small.
    """
    told = _status_bytes("VmHWM")
    if told is not None:
        return told
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def held_memory_bytes() -> int | None:
    """The memory that this process holds now (resident set size); None where the system does not tell."""
    return _status_bytes("VmRSS")


def restart_peak() -> bool:
    """Lets the peak begin anew at what is held now; False where the system does not offer that.

    A system may take the request and do nothing, so the peak is read again.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    held = held_memory_bytes()
    return held is not None and peak_memory_bytes() <= held + _SLACK


def _status_bytes(what: str) -> int | None:
    """A figure that the kernel keeps of this process, such as `VmRSS`."""
    if _STATUS.exists():
        for line in _STATUS.read_text(errors="replace").splitlines():
            if line.startswith(f"{what}:"):
                return int(line.split()[1]) * 1024
    return None


def _processor() -> str:
    """The model's name where the system tells it."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
