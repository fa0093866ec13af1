"""`Figure`: what one stage of a study took in time and memory; kept as JSON, shown as a line of a table."""

import json
import os
import resource
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from twotower.evaluation.machine import peak_memory_bytes
from twotower.storage.whole_file import write_whole_json

HEAD = (
    f"{'stage':<10} {'seconds':>9} {'rows':>13} {'':<10} {'per second':>11} {'process s':>10}"
    f" {'CPU s':>9} {'peak GiB':>9}  {'goal':<16} what"
)
"""Above the lines of a table."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What a stage measured.

    Attributes:
        seconds: wall time of the stage.
        rows: what it worked on.
        unit: what the rows are.
        note: what else is worth telling.
        peak_mib: most memory of the process; of several that worked together, what they held at one moment.
        cpu_seconds: of the whole process, reading its input included.
        process_seconds: wall time of the whole process, from its start to its end.
    """

    seconds: float
    rows: int
    unit: str
    note: str = ""
    peak_mib: float = 0.0
    cpu_seconds: float = 0.0
    process_seconds: float = 0.0

    def of_this_process(self) -> Self:
        """With the memory and CPU time of this process so far."""
        return replace(self, peak_mib=peak_memory_bytes() / 2**20, cpu_seconds=time.process_time())

    def of_children(self, held: "HeldTogether") -> Self:
        """With the memory that other processes held together, and the CPU time of those that this one started."""
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return replace(self, peak_mib=held.peak_bytes / 2**20, cpu_seconds=used.ru_utime + used.ru_stime)

    def save(self, path: Path, options: Sequence[str]) -> None:
        """One JSON file, whole or not at all, with the options that it was measured with."""
        write_whole_json(path, asdict(self) | {"options": list(options)})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what `save` wrote."""
        facts = json.loads(path.read_text())
        return cls(**{name: value for name, value in facts.items() if name != "options"})

    @staticmethod
    def options_of(path: Path) -> list[str]:
        """The options that a saved figure was measured with."""
        return list(json.loads(path.read_text())["options"])

    def line(self, stage: str, goal: str = "") -> str:
        """One line below `HEAD`."""
        rate = f"{self.rows / self.seconds:,.0f}"
        memory = f"{self.peak_mib / 1024:>9.2f}"
        return (
            f"{stage:<10} {self.seconds:>9,.1f} {self.rows:>13,} {self.unit:<10} {rate:>11}"
            f" {self.process_seconds:>10,.1f} {self.cpu_seconds:>9,.1f} {memory}  {goal:<16} {self.note}"
        )


class HeldTogether:
    """Watches, once a second, how much memory the processes hold that this one started, and those that they started.

    Pages that several share count once (proportional set size). Used as `with HeldTogether() as held: …`; only Linux
    tells it, elsewhere the peak stays 0.
    """

    def __init__(self, seconds: float = 1.0) -> None:
        self.peak_bytes = 0
        self._seconds = seconds
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._watch.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._ended.set()
        self._watch.join()

    def _look(self) -> None:
        while not self._ended.wait(self._seconds):
            self.peak_bytes = max(self.peak_bytes, sum(_held(pid) for pid in _descendants(os.getpid())))


def _descendants(pid: int) -> list[int]:
    """Processes that a process started, and theirs; without those that end just now."""
    figures = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            figures += [int(child) for child in children.read_text().split()]
    return [*figures, *(further for child in figures for further in _descendants(child))]


def _held(pid: int) -> int:
    """Bytes of a process, its part of shared pages included."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def growth(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """The exponent b of seconds = a · size^b, by least squares on the logarithms.

    >>> round(growth([1, 4, 16], [3, 12, 48]), 6)
    1.0
    """
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def growth_lines(figures: Mapping[str, Mapping[str, Figure]], sizes: Mapping[str, float]) -> list[str]:
    """A table of each stage's exponents of wall time, CPU time and peak memory.

    Args:
        figures: stage to size to what was measured.
        sizes: how large each size is.
    """
    lines = [f"{'stage':<10} {'seconds ~':>12} {'CPU s ~':>12} {'peak ~':>12}"]
    for stage, found in figures.items():
        at = [sizes[size] for size in found]
        powers = [growth(at, [getattr(f, w) for f in found.values()]) for w in ("seconds", "cpu_seconds", "peak_mib")]
        lines.append(f"{stage:<10} " + " ".join(f"{f'size^{power:.2f}':>12}" for power in powers))
    return lines
