"""Names of the history encoders; needs no torch, so that options are checked before it is loaded."""

from typing import Literal

HistoryKind = Literal["mean", "attention", "transformer"]
