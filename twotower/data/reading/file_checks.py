"""Checks of whole files before and after parsing: present, not empty, the right encoding, the wanted columns."""

from collections.abc import Iterable
from pathlib import Path

from twotower.data.reading.opening import opened
from twotower.errors import BadInput, MissingData


def check_file(path: Path, encoding: str | None) -> None:
    """Refuses a file that is absent, empty, or UTF-16 where UTF-8 is expected (no encoding: not a text file)."""
    if not path.is_file():
        raise MissingData(f"{path}: no such file; put it there or correct the path")
    if path.stat().st_size == 0:
        raise BadInput(f"{path}: the file is empty; export it again")
    if encoding == "utf-8":
        with path.open("rb") as file:
            if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
                raise BadInput(f"{path}: the file is UTF-16, not utf-8; save it as UTF-8 or set encoding: utf-16")


def check_columns(path: Path, names: Iterable[str], needed: Iterable[str]) -> None:
    """Refuses a file that lacks a wanted column, naming those it has, or that has two of one name."""
    there = list(names)
    shown = ", ".join(n if n == n.strip() else repr(n) for n in sorted(there)) or "none"
    for name in needed:
        if there.count(name) > 1:
            raise BadInput(f"{path}: {there.count(name)} columns are named {name!r}; rename all but the one to read")
        if name not in there:
            raise BadInput(f"{path}: no column {name!r}; it has {shown}; rename one or name another")


def text_lines(path: Path, encoding: str) -> list[str]:
    r"""Lines of a whole file; only \n and \r\n end a line (latin-1 text may hold \x85, JSON may hold U+2028)."""
    with opened(path) as stream:
        raw = stream.read()
    try:
        return [line.removesuffix("\r") for line in str(raw.decode(encoding)).split("\n")]
    except UnicodeDecodeError as error:
        raise BadInput(undecodable(path, encoding)) from error


def undecodable(path: Path, encoding: str) -> str:
    """Names the first line that is not text in the given encoding."""
    with opened(path) as stream:
        lines = stream.read().split(b"\n")
    for number, line in enumerate(lines, start=1):
        try:
            line.decode(encoding)
        except UnicodeDecodeError as error:
            bad = line[error.start : error.start + 1]
            return (
                f"{path}: line {number}: byte {bad!r} is not {encoding}; "
                "save the file as UTF-8 or name its encoding (encoding: latin-1)"
            )
    return f"{path}: the file is not {encoding}; save it as UTF-8 or name its encoding (encoding: latin-1)"
