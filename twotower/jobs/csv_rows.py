"""A column of ids out of a CSV file as Parquet, which can be read from the middle as parts need it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from twotower.errors import BadInput, MissingData

_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")


@contextmanager
def as_parquet(source: Path, column: str, *, like: Path, beside: Path) -> Iterator[Path]:
    """The source itself if it is Parquet, else a copy of its column that lives as long as the block.

    Args:
        source: CSV or TSV file with a header, Parquet file, or folder of those.
        column: of ids; the only one that is copied.
        like: Parquet file of known ids: whole numbers stay numbers if those are, else ids are text ("007").
        beside: the copy lies beside this path.

    Raises:
        MissingData: there is no such file.
        BadInput: it lacks the column, or an id is no whole number as the known ones are.
    """
    if not source.name.endswith(_SUFFIXES):
        yield source
        return
    if not source.exists():
        raise MissingData(f"{source}: no such file; name a CSV or Parquet file with a column {column!r}")
    beside.parent.mkdir(parents=True, exist_ok=True)
    copy = beside.parent / f".{beside.name}.ids.parquet"
    known = pq.read_schema(like).field(0).type
    try:
        _copy(source, column, known if pa.types.is_integer(known) else pa.string(), copy)
        times = source.stat()
        os.utime(copy, ns=(times.st_atime_ns, times.st_mtime_ns))  # a killed job knows its source again
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def _copy(source: Path, column: str, kind: pa.DataType, copy: Path) -> None:
    form = pacsv.ParseOptions(delimiter="\t" if ".tsv" in source.name else ",")
    convert = pacsv.ConvertOptions(include_columns=[column], column_types={column: kind}, null_values=[""])
    try:
        with (
            pacsv.open_csv(source, parse_options=form, convert_options=convert) as batches,
            pq.ParquetWriter(copy, batches.schema) as writer,
        ):
            for batch in batches:
                writer.write_batch(batch)
    except (pa.ArrowInvalid, KeyError) as error:
        raise BadInput(
            f"{source}: column {column!r} cannot be read as {kind}, the type of the run's ids: {error}"
        ) from error
