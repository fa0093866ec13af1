"""`map_batches`: Parquet in, Parquet out, row range by row range; every range becomes one file of the same name."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from twotower.data.ids import IdMap
from twotower.data.plain_ids import plain_codes
from twotower.errors import BadConfig, BadInput, MissingData
from twotower.jobs.engines import Engine, Run
from twotower.storage.unfinished import SUCCESS, Unfinished, output, read_success
from twotower.types import Ids

_ROW_GROUP = 1 << 16
Step = Callable[[pa.Table, int], pa.Table]
"""A batch of rows, and the number of its first row in the whole input, to the rows that are written for it."""


class Work(Protocol):
    """What is done to every batch; plain values inside, since it travels to the workers."""

    def open(self) -> Step:
        """Loads what the work needs, once in every worker."""
        ...

    def facts(self) -> dict[str, Any]:
        """Everything that decides the result, as JSON: a job is only resumed by one with the same facts."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """Rows `start..stop-1` of one file; `first` is the number of its first row in the whole input."""

    number: int
    file: str
    start: int
    stop: int
    first: int

    @property
    def name(self) -> str:
        """File that its result is written to."""
        return f"part-{self.number:05d}.parquet"


@dataclass(frozen=True, slots=True)
class MapTask:
    """A `Task`: reads a part batch by batch, writes what the work makes of it."""

    work: Work
    parts: tuple[Part, ...]
    into: Unfinished
    batch_rows: int
    columns: tuple[str, ...] | None

    def open(self) -> Run:
        """Opens the work."""
        step = self.work.open()
        return lambda number: self._one(self.parts[number], step)

    def _one(self, part: Part, step: Step) -> None:
        batches = read_batches(part, self.batch_rows, self.columns)
        self.into.write(part.name, lambda path: write_tables(path, (step(rows, first) for rows, first in batches)))


def map_batches(
    engine: Engine,
    source: Path,
    work: Work,
    out: Path,
    *,
    columns: Sequence[str] | None = None,
    batch_rows: int = 1024,
    part_rows: int = 131_072,
    overwrite: bool = False,
    finish: Callable[[Unfinished, Sequence[str]], Sequence[str]] | None = None,
    progress: Callable[[int], None] = lambda rows: None,
) -> dict[str, Any]:
    """Maps every row of a Parquet file, or of a folder of them, into a folder of Parquet files.

    Part i of the output belongs to the i-th range of input rows, so the rows of `part-*.parquet` in the order of
    their names are in the order of the input, whatever the engine and the number of workers. A worker holds one batch
    and one row group of what it writes.

    Args:
        engine: who does it.
        source: Parquet file, or folder of `*.parquet` (a finished output is checked first).
        work: what is done to a batch.
        out: folder that appears when all is done.
        columns: columns to read; None: all.
        batch_rows: rows that the work gets at once.
        part_rows: input rows per output file; what a kill can cost.
        overwrite: exchange an `out` that exists.
        finish: makes further files of the parts; returns their names.
        progress: hears how many input rows were done, those of an earlier try included.

    Returns:
        What `_SUCCESS.json` says: rows, files with rows, size and SHA-256 each, and the job's facts.

    Raises:
        BadConfig: `out` exists, or a number of rows is below 1.
        BadInput: a file is no Parquet file, lacks a column, or there are no rows.
        BundleError: another process is making `out`, or a worker died.
    """
    for name, value in {"batch_rows": batch_rows, "part_rows": part_rows}.items():
        if value < 1:
            raise BadConfig(f"{name} must be at least 1, got {value}")
    files = parquet_files(source)
    parts = plan_parts(files, part_rows, columns or ())
    plan = {**work.facts(), "source": _stamps(files), "batch_rows": batch_rows, "part_rows": part_rows}
    out = out.absolute()  # workers may have another current folder
    with output(out, plan, overwrite=overwrite) as folder:
        if not (folder.directory / SUCCESS).exists():
            task = MapTask(work, parts, folder, batch_rows, None if columns is None else tuple(columns))
            _do_missing(engine, task, progress)
            names = [part.name for part in parts]
            folder.succeed([*names, *(finish(folder, names) if finish else ())], plan)
    return read_success(out)


def parquet_files(source: Path) -> tuple[Path, ...]:
    """The file, or the `*.parquet` of a folder by name; hidden ones are left out.

    Raises:
        MissingData: there is nothing.
        BundleError: the folder is a batch job's output and not what was written.
    """
    if source.is_dir():
        if (source / SUCCESS).exists():
            read_success(source)
        files = tuple(sorted(f for f in source.glob("*.parquet") if not f.name.startswith((".", "_"))))
    else:
        files = (source,) if source.exists() else ()
    if not files:
        raise MissingData(f"{source}: no Parquet file there; name a .parquet file or a folder of them")
    return tuple(file.resolve() for file in files)


def plan_parts(files: Sequence[Path], part_rows: int, columns: Sequence[str] = ()) -> tuple[Part, ...]:
    """Ranges of up to `part_rows` rows, file after file.

    Raises:
        BadInput: a file cannot be read or lacks a column, or there are no rows at all.
    """
    parts: list[Part] = []
    first = 0
    for file in files:
        count = _count(file, columns)
        for start in range(0, count, part_rows):
            parts.append(Part(len(parts), str(file), start, min(count, start + part_rows), first + start))
        first += count
    if not parts:
        raise BadInput(f"{files[0]}: no rows; give a file with at least one")
    return tuple(parts)


def read_batches(part: Part, batch_rows: int, columns: Sequence[str] | None) -> Iterator[tuple[pa.Table, int]]:
    """A part's rows, `batch_rows` at a time wherever row groups end, each with the number of its first row.

    Only row groups that the part touches are read, and of those only what stands before its end.
    """
    with pq.ParquetFile(part.file) as file:
        groups, skip = _groups(file.metadata, part)
        left, first, held = part.stop - part.start, part.first, None
        for batch in file.iter_batches(batch_rows, row_groups=groups, columns=columns, use_threads=False):
            dropped = min(skip, len(batch))
            skip -= dropped
            rows = pa.Table.from_batches([batch.slice(dropped, left)])
            left -= len(rows)
            held = rows if held is None else pa.concat_tables([held, rows])
            while len(held) >= batch_rows or (not left and len(held)):
                yield held.slice(0, batch_rows).combine_chunks(), first
                first += min(batch_rows, len(held))
                held = held.slice(batch_rows)
            if not left:
                return


def looked_up(column: pa.ChunkedArray, ids: IdMap, unknown: int, first: int) -> tuple[pa.Array, Ids]:
    """External ids of a batch as they stand in the file, and their internal ids, `unknown` for those of nobody.

    Raises:
        BadInput: a row, counted from `first`, has no id.
    """
    external = column.combine_chunks()
    codes = plain_codes(column, f"the column of {ids.what} ids")
    nameless = codes.indices.is_null().to_numpy(zero_copy_only=False)
    if nameless.any():
        row = first + int(nameless.argmax())
        raise BadInput(f"row {row + 1} of the input has no {ids.what} id; give every row one")
    known = ids.to_internal(codes.dictionary.to_pylist(), unknown=unknown)
    return external, known[codes.indices.to_numpy()]


def write_tables(path: Path, tables: Iterator[pa.Table]) -> int:
    """Writes tables of one schema as one Parquet file, gathered into row groups; returns the number of rows."""
    writer, held, rows = None, [], 0
    try:
        for table in tables:
            writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
            held.append(table)
            rows += len(table)
            if sum(map(len, held)) >= _ROW_GROUP:
                writer.write_table(pa.concat_tables(held))
                held = []
        if writer is not None and held:
            writer.write_table(pa.concat_tables(held))
    finally:
        if writer is not None:
            writer.close()
    return rows


def _do_missing(engine: Engine, task: MapTask, progress: Callable[[int], None]) -> None:
    missing = [part.number for part in task.parts if task.into.facts(part.name) is None]
    done = set(range(len(task.parts))) - set(missing)
    progress(sum(task.parts[number].stop - task.parts[number].start for number in done))
    for number in engine.each(task, missing):
        progress(task.parts[number].stop - task.parts[number].start)


def _groups(metadata: Any, part: Part) -> tuple[list[int], int]:
    """Row groups that a part touches, and how many rows of the first of them come before it."""
    touched: list[int] = []
    skip = begin = 0
    for group in range(metadata.num_row_groups):
        end = begin + metadata.row_group(group).num_rows
        if begin < part.stop and end > part.start:
            skip = skip if touched else part.start - begin
            touched.append(group)
        begin = end
    return touched, skip


def _count(file: Path, columns: Sequence[str]) -> int:
    try:
        with pq.ParquetFile(file) as opened:
            names, rows = opened.schema_arrow.names, int(opened.metadata.num_rows)
    except (pa.ArrowInvalid, OSError) as error:
        raise BadInput(f"{file}: not a Parquet file ({error}); export it again") from error
    absent = [name for name in columns if name not in names]
    if absent:
        raise BadInput(f"{file}: no column {absent[0]!r}; there are {', '.join(names)}")
    return rows


def _stamps(files: Sequence[Path]) -> list[Mapping[str, Any]]:
    """Name, size and time of change of every file: reading them all for a digest would take as long as the job."""
    stats = [(file, file.stat()) for file in files]
    return [{"file": file.name, "size": stat.st_size, "changed": stat.st_mtime_ns} for file, stat in stats]
