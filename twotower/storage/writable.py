"""Whether a folder can be written, asked before the work whose outcome shall lie there."""

import tempfile
from pathlib import Path

from twotower.errors import BadConfig


def refuse_unwritable(folder: Path) -> None:
    """Tries a file in a folder, or in the nearest one above it that exists; nothing is left there.

    Raises:
        BadConfig: it names the folder and the reason.
    """
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise BadConfig(f"{folder} cannot be a folder: {place} is a file; give another place")
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"0")
            file.flush()
    except OSError as error:
        raise BadConfig(
            f"{place} cannot be written ({error.strerror}); get permission, or give another place"
        ) from error
