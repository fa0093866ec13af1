"""Shortcuts for people who work in Python: methods of low classes that a higher floor answers.

`Dataset.from_frames` and `Model.fit(dataset)` are where people look for them, but what they do needs floors above. The
library itself never takes a shortcut: it calls what stands behind it.
"""

import importlib
from typing import Any, Final

_BEHIND: Final = {
    "from_frames": "twotower.data.frames.dataset_of_frames",
    "fit": "twotower.runs.fitting.fitted",
}


def shortcut(name: str) -> Any:
    """The function behind a shortcut."""
    module, _, function = _BEHIND[name].rpartition(".")
    return getattr(importlib.import_module(module), function)
