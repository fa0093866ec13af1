"""Manifests that this user's own processes published or tried out before, so that native loaders may read the files."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from twotower.storage.atomic import sha256_of_json


def is_known(manifest: Mapping[str, Any]) -> bool:
    """Whether a manifest, and so the digest of every file that it names, was remembered."""
    try:
        return _place(manifest).is_file()
    except OSError:
        return False


def remember(manifest: Mapping[str, Any]) -> None:
    """Remembers a manifest as an empty file in the user's cache; where none can be written, nothing is remembered."""
    with suppress(OSError):
        place = _place(manifest)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()


def _place(manifest: Mapping[str, Any]) -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path(os.path.expanduser("~")) / ".cache"  # noqa: PTH111
    return Path(cache) / "twotower" / "known" / sha256_of_json(manifest)
