"""What a file is, by its name and first bytes: packed, zipped, a folder of parts; and how a text table is written."""

import codecs
import csv
import io
import logging
import os
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from twotower.errors import BadInput, MissingData

PACKED = (".gz", ".zst", ".bz2", ".zip")
JSON = (".json", ".jsonl", ".ndjson")
PARQUET = (".parquet", ".parq", ".pq")
TEXTS = (".csv", ".tsv", ".txt", ".tab", ".psv", ".dat", ".data", "")
_DELIMITERS = {".tsv": "\t", ".tab": "\t", ".psv": "|"}
_SAMPLE = 1 << 16
_MOST_PARTS = 100_000
_MAGIC = {
    b"PK\x03\x04": "a zip archive (.zip; of a spreadsheet: export it as CSV)",
    b"\x1f\x8b": "packed by gzip (.gz)",
    b"\x28\xb5\x2f\xfd": "packed by Zstandard (.zst)",
    b"BZh": "packed by bzip2 (.bz2)",
    b"PAR1": "Parquet (.parquet)",
    b"ARROW1": "Arrow IPC; export it as Parquet",
    b"ORC": "ORC; export it as Parquet",
    b"Obj\x01": "Avro; export it as Parquet",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet; export it as CSV",
    b"\x89HDF": "HDF5; export it as Parquet",
    b"SQLite format 3": "an SQLite database; export its tables as CSV",
}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delimited:
    """How a text table is written.

    Attributes:
        delimiter: one character between values; None: found out by the header.
        encoding: of the file; None: found out by its bytes.
        names: column names of a file without a header.
        quoting: whether `"` encloses values; off where `"` is an ordinary character.
    """

    delimiter: str | None = ","
    encoding: str | None = "utf-8"
    names: tuple[str, ...] | None = None
    quoting: bool = True


def parts_of(path: Path) -> tuple[Path, ...]:
    """The file itself, or the files of a folder of parts as Spark and DuckDB write it, by name.

    Files whose names begin with `_` or `.`, such as `_SUCCESS`, and empty parts are passed over.

    Raises:
        MissingData: there is no such file.
        BadInput: the folder holds no part, or parts of several formats.
    """
    if not path.is_dir():
        return (path,)
    try:
        parts = _files_below(path)
    except OSError as error:
        raise BadInput(f"{path}: the folder cannot be read ({error.strerror}); name the one of the parts") from error
    if not parts:
        raise MissingData(
            f"{path}: the folder holds no files to read; name a file, or a folder of Parquet or CSV parts"
        )
    formats = sorted({format_of(part) for part in parts})
    if len(formats) > 1:
        raise BadInput(f"{path}: the folder holds parts of {' and '.join(formats)}; keep one format, or name one file")
    return tuple(sorted(parts))


def _files_below(path: Path) -> list[Path]:
    parts: list[Path] = []
    for folder, folders, names in os.walk(path):
        folders[:] = [name for name in folders if name[0] not in "_."]
        files = [Path(folder) / name for name in names if name[0] not in "_."]
        parts += [file for file in files if file.is_file() and file.stat().st_size]
        if len(parts) > _MOST_PARTS:
            raise BadInput(f"{path}: the folder holds more than {_MOST_PARTS:,} files; name the one of the parts")
    return parts


def partition_of(part: Path, folder: Path) -> dict[str, str]:
    """Columns that stand in the names of the folders between, as `day=2024-01-31`."""
    between = part.relative_to(folder).parts[:-1] if part != folder else ()
    return {unquote(n): unquote(v) for n, sign, v in (name.partition("=") for name in between) if sign}


def format_of(path: Path) -> str:
    """parquet, json or text, by the suffix before .gz, .zst, .bz2 and .zip; the name inside a zip archive counts."""
    name = _member(path).filename if path.suffix == ".zip" and path.is_file() else path.name
    suffix = _bare_suffix(name)
    return "parquet" if suffix in PARQUET else "json" if suffix in JSON else "text"


def opened(path: Path) -> Any:
    """The unpacked bytes of a file as a stream.

    Raises:
        BadInput: a zip archive holds no file or several.
    """
    if path.suffix == ".zip":
        return pa.PythonFile(zipfile.ZipFile(path).open(_member(path)), mode="r")
    return pa.input_stream(path)


def first_bytes(path: Path) -> bytes:
    """The beginning of the unpacked file.

    Raises:
        BadInput: it cannot be unpacked.
    """
    try:
        with opened(path) as stream:
            return bytes(stream.read(_SAMPLE))
    except (OSError, zipfile.BadZipFile) as error:
        raise BadInput(f"{path}: cannot be unpacked ({error!s:.80}); copy or export it again") from error


def refuse_binary(path: Path) -> None:
    """Refuses a file that is no text, and says what it looks like.

    Raises:
        BadInput: its bytes belong to another format than its name says.
    """
    start = first_bytes(path)
    for magic, what in _MAGIC.items():
        if start.startswith(magic):
            raise BadInput(f"{path}: this is {what}; name it so or export CSV, JSON lines or Parquet")
    if b"\0" in start and not _wide(start):
        kind = _bare_suffix(path.name)
        told = (
            f"files of kind {kind} are not read" if kind not in TEXTS else "the file holds zero bytes, as no text does"
        )
        raise BadInput(f"{path}: {told}; export CSV or Parquet")


def settled(path: Path, form: Delimited, wanted: Sequence[str]) -> Delimited:
    """The form with delimiter and encoding found out where they are not given; what is unusual is said.

    Args:
        path: the file.
        form: what is given.
        wanted: columns that the header must name.

    Raises:
        BadInput: the encoding is not plain from the bytes.
    """
    if form.encoding is None:
        form = replace(form, encoding=_encoding(path))
    if form.delimiter is None:
        form = replace(form, delimiter=_delimiter(path, form, wanted))
    return form


def header(path: Path, form: Delimited) -> list[str]:
    """The names in the first line of a text table."""
    text = first_bytes(path).decode(form.encoding or "utf-8", errors="replace").lstrip("\ufeff")
    return next(csv.reader(io.StringIO(text, newline=None), delimiter=form.delimiter or ",", quotechar='"'), [])


def _bare_suffix(name: str) -> str:
    for packed in PACKED:
        name = name.removesuffix(packed)
    return Path(name).suffix.lower()


def _member(path: Path) -> zipfile.ZipInfo:
    """The one file in a zip archive; what macOS adds to archives is passed over."""
    try:
        with zipfile.ZipFile(path) as archive:
            inside = [m for m in archive.infolist() if not m.is_dir() and not m.filename.startswith("__MACOSX/")]
    except (OSError, zipfile.BadZipFile) as error:
        raise BadInput(f"{path}: not a sound zip archive ({error}); copy it again or unpack it yourself") from error
    if len(inside) != 1:
        names = ", ".join(m.filename for m in inside[:5]) or "nothing"
        raise BadInput(f"{path}: the archive holds {names}; unpack it and name one file")
    if inside[0].flag_bits & 1:
        raise BadInput(f"{path}: the archive has a password; unpack it and name the file")
    return inside[0]


def _delimiter(path: Path, form: Delimited, wanted: Sequence[str]) -> str:
    """The character that parts the header into all wanted names: by suffix first, then tab, ; | and comma."""
    name = _member(path).filename if path.suffix == ".zip" else path.name
    usual = _DELIMITERS.get(_bare_suffix(name), ",")
    for delimiter in dict.fromkeys((usual, "\t", ";", "|", ",")):
        if set(wanted) <= set(header(path, replace(form, delimiter=delimiter))):
            if delimiter != usual:
                log.warning("%s: values are parted by %r; delimiter: says so", path, delimiter)
            return delimiter
    return usual


def _encoding(path: Path) -> str:
    """UTF-8, UTF-16 by its mark or zero bytes, else Windows-1252 where it reads as a western language.

    Raises:
        BadInput: the bytes are neither.
    """
    start = first_bytes(path)
    if wide := _wide(start):
        log.warning("%s: the file is %s", path, wide.upper())
        return wide
    if _decodes(path):
        return "utf-8"
    with opened(path) as stream:
        odd = [bytes(line) for line in bytes(stream.read()).split(b"\n") if not line.isascii()]
    sample = b"\n".join(odd)[: 1 << 20]
    high = sum(byte > 127 for byte in sample)
    letters = sum(byte >= 0xC0 for byte in sample)
    in_rows = sum(map(len, re.findall(rb"[\xc0-\xff]{3,}", sample)))  # whole words of another alphabet
    if letters >= 0.8 * high and in_rows <= 0.2 * letters:
        log.warning("%s: not UTF-8; read as Windows-1252 (western Europe); encoding: says otherwise", path)
        return "cp1252"
    return "utf-8"  # the reader names the line


def _wide(start: bytes) -> str:
    """The encoding of two or four bytes a character that a file begins with; "" if there is none."""
    for mark, encoding in ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32")):
        if start.startswith(mark):
            return encoding
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    sample = start[:64]
    if len(sample) > 3 and not sample[::2].count(0) and sample[1::2].count(0) >= 0.9 * len(sample[1::2]):
        return "utf-16-le"
    if len(sample) > 3 and not sample[1::2].count(0) and sample[::2].count(0) >= 0.9 * len(sample[::2]):
        return "utf-16-be"
    return ""


def _decodes(path: Path) -> bool:
    """Whether the whole file is UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with opened(path) as stream:
        try:
            while block := bytes(stream.read(1 << 24)):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True
