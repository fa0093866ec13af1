"""The one error tree: every error that `twotower` raises on purpose, each naming the values and the remedy."""


class TwoTowerError(Exception):
    """Base of all errors raised on purpose; commands print its text as one line and exit 1."""


class BadInput(TwoTowerError, ValueError):
    """Input data is unusable; the text names file, row or key, value and remedy."""


class BadConfig(TwoTowerError, ValueError):
    """An option or a combination of options makes no sense; the text names the option and what it accepts."""


class MissingData(TwoTowerError, FileNotFoundError):
    """Files of a data set are absent and cannot be fetched; the text says what to put where."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class UnknownId(TwoTowerError, KeyError):
    """An external id is not in the data set."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class LeakError(TwoTowerError):
    """A split would let the model see what it is tested on."""


class NotFitted(TwoTowerError, RuntimeError):
    """A model was asked for scores before `fit` or `load`."""


class TrainingDiverged(TwoTowerError, ArithmeticError):
    """A loss or gradient became NaN or infinite; the text names step, value and remedy."""


class WorkerLost(TwoTowerError, RuntimeError):
    """One of several training processes ended or does not answer; the others end too."""


class BundleError(TwoTowerError):
    """A run directory is absent, incomplete, damaged or of a foreign version."""


class IndexMismatch(BundleError):
    """An index does not belong to the towers beside it."""
