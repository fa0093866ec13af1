"""Where data sets come from: `Source` is the contract of everything that `conf/data/` names."""

from pathlib import Path
from typing import Protocol

from twotower.data.dataset import Dataset


class Source(Protocol):
    """Anything that can be read, or simulated, as a `Dataset`."""

    def load(self) -> Dataset:
        """The data set.

        Raises:
            MissingData: a file is absent and cannot be fetched.
            BadInput: a file is damaged.
        """
        ...

    def files(self) -> tuple[Path, ...]:
        """Every file that `load` reads, so that others can tell whether it would read the same again.

        A file that is read only where it exists is named only where it exists. Nothing is read or fetched to answer,
        so files that are still to be downloaded are named too.
        """
        ...
