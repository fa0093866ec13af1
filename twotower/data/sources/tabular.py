"""Your own data: a file of events and, if you like, one of items and one of users, in CSV, JSON lines or Parquet."""

import codecs
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml  # type: ignore[import-untyped]

from twotower.data.dataset import Dataset
from twotower.data.reading.assembly import Events, FeatureRows, build, number_ids, refuse_unknown, row_ids, used_ids
from twotower.data.reading.bad_rows import BadRows, OnBadRows
from twotower.data.reading.files import Delimited, read_rows
from twotower.data.reading.raw_table import RawTable
from twotower.data.reading.raw_times import STEPS, TimeUnit
from twotower.data.sources.tabular_columns import AS_TEXT, ColumnSpec, check_column, column_of, column_values
from twotower.data.tables import Kind
from twotower.errors import BadConfig, MissingData
from twotower.text import one_line
from twotower.types import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsFile:
    """Where the events are and which columns hold what.

    Attributes:
        path: the file, relative to `root`.
        user: column of user ids.
        item: column of item ids.
        time: column of times: numbers in `time_unit`, ISO 8601 texts (UTC unless they say otherwise), or dates.
        kind: column of event kinds, e.g. view, buy; None: all alike.
        value: column of numbers, e.g. ratings; None: 1 each.
        time_unit: s, ms, us or ns.
        delimiter: of a text table; tab for .tsv files.
        encoding: of a text table.
    """

    path: str
    user: str
    item: str
    time: str
    kind: str | None = None
    value: str | None = None
    time_unit: TimeUnit = "s"
    delimiter: str | None = None
    encoding: str = "utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturesFile:
    """Where the items or users are described and which columns are features.

    Attributes:
        path: the file, relative to `root`.
        id: column of ids; one row per id.
        columns: feature column to its kind, or to a mapping with `kind` and the options of `ColumnSpec`.
        title: (items) column that names an item to people; becomes a text feature unless `columns` says otherwise.
        category: (items) column that groups alternatives; becomes a categorical feature unless `columns` has it.
        time_unit: of timestamp columns that hold numbers: s, ms, us or ns.
        delimiter: of a text table; tab for .tsv files.
        encoding: of a text table.
    """

    path: str
    id: str
    columns: Mapping[str, Any] = field(default_factory=dict)
    title: str | None = None
    category: str | None = None
    time_unit: TimeUnit = "s"
    delimiter: str | None = None
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        self.specs()  # kinds that do not exist are refused before any file is read

    def specs(self) -> dict[str, ColumnSpec]:
        """The feature columns, in order; title first."""
        named = {self.title: Kind.TEXT, self.category: Kind.CATEGORICAL}
        kinds = {name: kind for name, kind in named.items() if name} | dict(self.columns)
        return {name: ColumnSpec.of(name, spec) for name, spec in kinds.items()}


File = TypeVar("File", EventsFile, FeaturesFile)


class Tabular:
    """Reads your own files.

    The items file, if there is one, is the catalogue: items without events are cold items, events of items that it
    does not list are refused (or dropped). The same holds for users.

    Args:
        interactions: the options of `EventsFile`.
        items: the options of `FeaturesFile`, or None.
        users: the options of `FeaturesFile`, or None.
        root: folder that the paths are relative to.
        name: of the data set.
        on_bad_rows: "raise" or "drop" rows that make no sense.
        dropped_to: folder for the side files of dropped rows.
        described_in: the file that these options were read from; None: they were given in Python.
    """

    def __init__(
        self,
        *,
        interactions: Mapping[str, Any],
        items: Mapping[str, Any] | None = None,
        users: Mapping[str, Any] | None = None,
        root: str | Path = ".",
        name: str = "own",
        on_bad_rows: OnBadRows = "raise",
        dropped_to: str | Path = "data-cache/dropped",
        described_in: Path | None = None,
    ) -> None:
        self.interactions = _options(EventsFile, "interactions", interactions)
        self.items = None if items is None else _options(FeaturesFile, "items", items)
        self.users = None if users is None else _options(FeaturesFile, "users", users)
        self.root = Path(root)
        self.name = name
        self.on_bad_rows: OnBadRows = on_bad_rows
        self.dropped_to = Path(dropped_to)
        self.described_in = described_in

    def files(self) -> tuple[Path, ...]:
        """The files that the options name, wherever they lie, and the file of the options."""
        tables = (spec for spec in (self.interactions, self.items, self.users) if spec is not None)
        described = () if self.described_in is None else (self.described_in,)
        vectors = (c.file for spec in (self.items, self.users) if spec is not None for c in spec.specs().values())
        return (*described, *(self.root / spec.path for spec in tables), *(self.root / f for f in vectors if f))

    def load(self) -> Dataset:
        """The data set.

        Raises:
            MissingData: a file is absent.
            BadInput: a file is damaged or lacks a column.
        """
        with BadRows(self.on_bad_rows, self.dropped_to) as bad:
            events = self._events(bad)
            items, item_ids = self._features(self.items, events.table, events.item, bad)
            users, user_ids = self._features(self.users, events.table, events.user, bad)
            return build(
                self.name,
                events,
                users=number_ids(used_ids(events.table, events.user) if user_ids is None else user_ids, "user"),
                items=number_ids(used_ids(events.table, events.item) if item_ids is None else item_ids, "item"),
                user_features=users,
                item_features=items,
                category=self.items.category if self.items else None,
                title=self.items.title if self.items else None,
            )

    def _events(self, bad: BadRows) -> Events:
        spec = self.interactions
        texts = tuple(name for name in (spec.user, spec.item, spec.kind) if name)
        others = tuple(name for name in (spec.time, spec.value) if name)
        table = read_rows(self.root / spec.path, bad, texts=texts, others=others, form=_form(spec))
        for name in texts:
            table.check_ids(name)
        table.check_times(spec.time, spec.time_unit)
        if spec.value is not None:
            table.check_numbers(spec.value)
        return Events(table, spec.user, spec.item, spec.time, spec.value, spec.kind)

    def _features(
        self, spec: FeaturesFile | None, events: RawTable, key: str, bad: BadRows
    ) -> tuple[FeatureRows | None, Array | None]:
        """FeatureRows and ids (text) of one feature file; refuses events whose id it does not list."""
        if spec is None:
            return None, None
        specs = spec.specs()
        texts = [name for name, column in specs.items() if column.kind in AS_TEXT]
        others = [name for name, column in specs.items() if column.kind not in AS_TEXT and not column.file]
        texts += [column.weights for column in specs.values() if column.weights]
        table = read_rows(self.root / spec.path, bad, texts=(spec.id, *texts), others=others, form=_form(spec))
        table.check_ids(spec.id)
        table.check_unique(spec.id)
        for name, column in specs.items():
            check_column(table, name, column, spec.time_unit)
        ids = row_ids(table, spec.id)
        refuse_unknown(events, key, ids, spec.path)
        return FeatureRows(ids, {column_of(n, s): column_values(table, n, s, self.root) for n, s in specs.items()}), ids


def from_yaml(
    path: str | Path, *, on_bad_rows: OnBadRows = "raise", dropped_to: str | Path = "data-cache/dropped"
) -> Tabular:
    """A `Tabular` whose options stand in a YAML file; paths in it are relative to it.

    Args:
        path: the file, with `interactions:` and perhaps `items:`, `users:` and `name:`.
        on_bad_rows: "raise" or "drop" rows that make no sense.
        dropped_to: folder for the side files of dropped rows.

    Raises:
        MissingData: there is no such file.
        BadConfig: it is no YAML or has other keys.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingData(f"{path}: no such file; write one as examples/own_data/shop.yaml shows")
    try:
        options = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadConfig(f"{path}: not YAML: {one_line(error)}") from error
    accepted = ("name", "interactions", "items", "users")
    if not isinstance(options, dict) or "interactions" not in options or not set(options) <= set(accepted):
        raise BadConfig(f"{path}: write the keys {', '.join(accepted)} (interactions is needed, the others may go)")
    options.setdefault("name", path.stem)
    return Tabular(**options, root=path.parent, on_bad_rows=on_bad_rows, dropped_to=dropped_to, described_in=path)


def _options(kind: type[File], where: str, values: Mapping[str, Any]) -> File:
    """The options of one file, checked."""
    accepted = [f.name for f in fields(kind)]
    if not isinstance(values, Mapping) or not set(values) <= set(accepted):
        odd = sorted(set(values) - set(accepted)) if isinstance(values, Mapping) else values
        raise BadConfig(f"{where}: {odd} is not understood; write {', '.join(accepted)}")
    try:
        options = kind(**values)
    except TypeError as error:
        raise BadConfig(f"{where}: {error}; the accepted keys are {', '.join(accepted)}") from error
    if options.time_unit not in STEPS:
        raise BadConfig(f"{where}: time_unit={options.time_unit!r}: choose one of {', '.join(STEPS)}")
    if options.delimiter is not None and len(options.delimiter) != 1:
        raise BadConfig(f"{where}: delimiter={options.delimiter!r}: give one character")
    try:
        codecs.lookup(options.encoding)
    except LookupError as error:
        raise BadConfig(f"{where}: encoding={options.encoding!r}: give e.g. utf-8, latin-1 or cp1252") from error
    return options


def _form(spec: EventsFile | FeaturesFile) -> Delimited:
    by_suffix = "\t" if spec.path.removesuffix(".gz").endswith(".tsv") else ","
    return Delimited(delimiter=spec.delimiter or by_suffix, encoding=spec.encoding)
