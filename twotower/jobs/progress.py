"""The progress bar of batch jobs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def bar(title: str, unit: str, total: int | None = None) -> Iterator[Callable[[int], Any]]:
    """A progress bar on stderr."""
    from tqdm import tqdm

    with tqdm(desc=title, total=total, unit=f" {unit}", unit_scale=True) as shown:
        yield shown.update
