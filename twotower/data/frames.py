"""`Dataset.from_frames`: a data set of tables in memory, or of files whose columns are found out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from twotower.data.arrow_tables import arrow_table
from twotower.data.column_kinds import column_kinds, title_column
from twotower.data.dataset import Dataset
from twotower.data.reading.assembly import FeatureRows
from twotower.data.reading.bad_rows import BadRows, OnBadRows
from twotower.data.reading.file_checks import check_columns, check_file
from twotower.data.reading.files import CSV, column_names, read_rows
from twotower.data.reading.raw_table import RawTable
from twotower.data.reading.raw_times import TimeUnit
from twotower.data.sources.tabular import EventsFile, FeaturesFile, Tabular
from twotower.data.tables import FeatureSchema
from twotower.errors import BadConfig


class Frames(Tabular):
    """A `Tabular` whose files may be tables in memory; arguments as there, and `tables` by the path that names them."""

    def __init__(self, tables: Mapping[str, pa.Table], **options: Any) -> None:
        super().__init__(**options)
        self.tables = tables

    def _rows(
        self, spec: EventsFile | FeaturesFile, bad: BadRows, texts: Sequence[str], others: Sequence[str]
    ) -> RawTable:
        table = self.tables.get(spec.path)
        if table is None:
            return super()._rows(spec, bad, texts, others)
        wanted, path = list(dict.fromkeys((*texts, *others))), Path(spec.path)
        check_columns(path, table.column_names, wanted)
        return RawTable(path, table.select(wanted), np.arange(1, table.num_rows + 1), bad)


def dataset_of_frames(
    events: Any,
    *,
    items: Any = None,
    users: Any = None,
    user: str = "user",
    item: str = "item",
    time: str | None = None,
    kind: str | None = None,
    value: str | None = None,
    target: Any = None,
    dislike: Any = None,
    time_unit: TimeUnit = "s",
    title: str | None = None,
    category: str | None = None,
    item_columns: Mapping[str, Any] | None = None,
    user_columns: Mapping[str, Any] | None = None,
    name: str = "frames",
    on_bad_rows: OnBadRows = "raise",
) -> Dataset:
    """What `Dataset.from_frames` does; arguments and errors as there."""
    tables: dict[str, pa.Table] = {}
    events_at = _taken(events, "events", (user, item), tables)
    interactions = {
        "path": events_at, "user": user, "item": item, "time": time, "kind": kind, "value": value,
        "target": target, "dislike": dislike, "time_unit": time_unit,
    }  # fmt: skip
    sides: dict[str, dict[str, Any]] = {}
    for what, given, key, columns in (("items", items, item, item_columns), ("users", users, user, user_columns)):
        if given is not None:
            path = _taken(given, what, (key,), tables)
            named = {"title": title, "category": category} if what == "items" else {}
            sides[what] = _features(what, path, key, columns, tables.get(path), named)
    frames = Frames(tables, interactions=interactions, **sides, root=Path.cwd(), name=name, on_bad_rows=on_bad_rows)
    return frames.load()


def _taken(given: Any, what: str, ids: Sequence[str], tables: dict[str, pa.Table]) -> str:
    """The path of a file as it is, or the name by which a table in memory is known from now on."""
    if isinstance(given, str | Path):
        path = Path(given).expanduser().absolute()
        if not path.is_dir():
            check_file(path, None)
        return str(path)
    tables[what] = arrow_table(given, what, ids)
    return what


def _features(
    what: str, path: str, key: str, given: Mapping[str, Any] | None, table: pa.Table | None, named: dict[str, Any]
) -> dict[str, Any]:
    """The options of `FeaturesFile`, with the kinds of columns that nobody named."""
    if table is None:
        table = _whole(Path(path), key)
    check_columns(Path(path), table.column_names, (key,))
    left_out = [key, *(column for column in named.values() if column)]
    if "title" in named and named["title"] is None:
        named = {**named, "title": title_column(table, [*left_out, *(given or {})])}
        left_out += [named["title"]] if named["title"] else []
    return {"path": path, "id": key, "columns": column_kinds(table, what, given, leave_out=left_out), **named}


def _whole(path: Path, key: str) -> pa.Table:
    """All columns of a file, the types of those that hold no ids found out."""
    names = column_names(path, (key,))
    check_columns(path, names, (key,))
    rows = read_rows(path, BadRows(), texts=(key,), others=[name for name in names if name != key], form=CSV)
    return rows.as_arrow()


def feature_rows(frame: Any, what: str, schema: FeatureSchema, id_column: str | None = None) -> FeatureRows:
    """Ids and features of a table as those of a data set that is already there; columns that it lacks are missing.

    Args:
        frame: a table in memory or a path; one row an id.
        what: "items" or "users".
        schema: the columns of the data set.
        id_column: None: the one that is called after `what`, or the only one that is no feature.

    Raises:
        BadConfig: which column holds the ids is not plain.
        BadInput: an id stands twice, or a value is not of its column's kind.
    """
    tables: dict[str, pa.Table] = {}
    named = [] if id_column is None else [id_column]
    if isinstance(frame, pd.DataFrame) and frame.index.name is not None:
        named = named or [str(frame.index.name)]
    path = _taken(frame, what, named or [what[:-1]], tables)
    names = tables[path].column_names if path in tables else column_names(Path(path), named)
    key = named[0] if named else _id_column(names, what, schema)
    there = [column for column in schema.columns if column.name in names and column.name != key]
    kinds = {c.name: {"kind": str(c.kind), "low": c.low, "high": c.high} for c in there}
    frames = Frames(tables, interactions={"path": path, "user": "user", "item": "item"}, root=Path.cwd())
    with BadRows() as bad:
        return frames.feature_rows(FeaturesFile(path=path, id=key, columns=kinds), bad)


def _id_column(names: Sequence[str], what: str, schema: FeatureSchema) -> str:
    others = [name for name in names if name not in schema.names]
    for name in (what[:-1], f"{what[:-1]}_id", "id"):
        if name in others:
            return name
    if len(others) != 1:
        raise BadConfig(f"{what}: which column holds the ids? name it with id=, one of {', '.join(names)}")
    return others[0]
