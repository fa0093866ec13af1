"""Your own data: a file of events and, if you like, one of items and one of users, in CSV, JSON or Parquet."""

import codecs
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml  # type: ignore[import-untyped]

from twotower.data.dataset import Dataset
from twotower.data.positives import Role, with_roles
from twotower.data.reading.assembly import Events, FeatureRows, build, number_ids, refuse_unknown, row_ids, used_ids
from twotower.data.reading.bad_rows import BadRows, OnBadRows
from twotower.data.reading.files import read_rows
from twotower.data.reading.opening import Delimited, parts_of
from twotower.data.reading.raw_table import RawTable
from twotower.data.reading.raw_times import SECONDS, TimeUnit
from twotower.data.sources.tabular_columns import AS_TEXT, ColumnSpec, check_column, column_of, column_values
from twotower.data.tables import Kind
from twotower.errors import BadConfig, MissingData
from twotower.text import one_line
from twotower.types import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsFile:
    """Where the events are and which columns hold what.

    Attributes:
        path: the file, or a folder of files of one format, relative to `root`.
        user: column of user ids.
        item: column of item ids.
        time: column of times: numbers in `time_unit`, ISO 8601 texts (UTC unless they say otherwise), or dates; None:
            there are none, all events happen at one moment, and rows stand in their order.
        kind: column of event kinds, e.g. view, buy; None: all alike.
        value: column of numbers, e.g. ratings; None: 1 each.
        target: what is learnt and foreseen: kinds, or the options of `Role`, such as {kinds: [rate], min_value: 4};
            None: all.
        dislike: what says no, likewise; such items never come back.
        time_unit: d, s, ms, us or ns.
        delimiter: of a text table; None: found out by the header.
        encoding: of a text table; None: found out by the bytes.
        decimal: "." or "," before the fraction of a number; None: "." unless commas can mean nothing else.
    """

    path: str
    user: str
    item: str
    time: str | None = None
    kind: str | None = None
    value: str | None = None
    target: Any = None
    dislike: Any = None
    time_unit: TimeUnit = "s"
    delimiter: str | None = None
    encoding: str | None = None
    decimal: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturesFile:
    """Where the items or users are described and which columns are features.

    Attributes:
        path: the file, or a folder of files of one format, relative to `root`.
        id: column of ids; one row per id.
        columns: feature column to its kind, or to a mapping with `kind` and the options of `ColumnSpec`.
        title: (items) column that names an item to people; becomes a text feature unless `columns` says otherwise.
        category: (items) column that groups alternatives; becomes a categorical feature unless `columns` has it.
        time_unit: of timestamp columns that hold numbers: d, s, ms, us or ns.
        delimiter: of a text table; None: found out by the header.
        encoding: of a text table; None: found out by the bytes.
        decimal: "." or "," before the fraction of a number; None: "." unless commas can mean nothing else.
    """

    path: str
    id: str
    columns: Mapping[str, Any] = field(default_factory=dict)
    title: str | None = None
    category: str | None = None
    time_unit: TimeUnit = "s"
    delimiter: str | None = None
    encoding: str | None = None
    decimal: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.columns, Mapping):
            example = ", ".join(f"{name}: categorical" for name in list(self.columns)[:2])
            raise BadConfig(f"columns: write the kind of every column, such as {{{example}}}, instead of a list")
        self.specs()  # kinds that do not exist are refused before any file is read

    def specs(self) -> dict[str, ColumnSpec]:
        """The feature columns, in order; title first."""
        named = {self.title: Kind.TEXT, self.category: Kind.CATEGORICAL}
        kinds = {name: kind for name, kind in named.items() if name} | dict(self.columns)
        return {_name("columns", name): ColumnSpec.of(str(name), spec) for name, spec in kinds.items()}


File = TypeVar("File", EventsFile, FeaturesFile)
_STRUCTURED = ("columns", "target", "dislike")
_NOTHING = (None, "", "null", "~")  # what stands in a YAML for an option that is not given


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
        paths = (self.root / spec.path for spec in tables)
        vectors = (c.file for spec in (self.items, self.users) if spec is not None for c in spec.specs().values())
        beside = (self.root / name for name in vectors if name)
        return (*described, *(part for path in paths for part in parts_of(path)), *beside)

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
            dataset = build(
                self.name,
                events,
                users=number_ids(used_ids(events.table, events.user) if user_ids is None else user_ids, "user"),
                items=number_ids(used_ids(events.table, events.item) if item_ids is None else item_ids, "item"),
                user_features=users,
                item_features=items,
                category=self.items.category if self.items else None,
                title=self.items.title if self.items else None,
            )
        roles = {name: Role.of(f"interactions: {name}", given) for name, given in self._roles().items()}
        return with_roles(dataset, **roles) if roles else dataset

    def _roles(self) -> dict[str, Any]:
        given = {"target": self.interactions.target, "dislike": self.interactions.dislike}
        return {name: role for name, role in given.items() if role is not None}

    def _events(self, bad: BadRows) -> Events:
        spec = self.interactions
        texts = tuple(name for name in (spec.user, spec.item, spec.kind) if name)
        others = tuple(name for name in (spec.time, spec.value) if name)
        table = self._rows(spec, bad, texts, others)
        taken = {spec.user, spec.item, spec.kind}
        time = table.twin(spec.time, f"{spec.time} (time)") if spec.time in taken and spec.time else spec.time
        twice = spec.value if spec.value in {*taken, time} else None
        value = table.twin(twice, f"{twice} (value)") if twice else spec.value
        table.check_ids(spec.user)
        table.check_ids(spec.item)
        if spec.kind is not None:
            table.check_ids(spec.kind, "kind")
        if time is not None:
            table.check_times(time, spec.time_unit)
        if value is not None:
            table.check_numbers(value, decimal=spec.decimal)
        return Events(table, spec.user, spec.item, time, value, spec.kind, ordered=True)

    def _rows(
        self, spec: EventsFile | FeaturesFile, bad: BadRows, texts: Sequence[str], others: Sequence[str]
    ) -> RawTable:
        form = Delimited(delimiter=spec.delimiter, encoding=spec.encoding)
        return read_rows(self.root / spec.path, bad, texts=texts, others=others, form=form)

    def _features(
        self, spec: FeaturesFile | None, events: RawTable, key: str, bad: BadRows
    ) -> tuple[FeatureRows | None, Array | None]:
        if spec is None:
            return None, None
        rows = self.feature_rows(spec, bad)
        refuse_unknown(events, key, rows.ids, spec.path)
        return rows, rows.ids

    def feature_rows(self, spec: FeaturesFile, bad: BadRows) -> FeatureRows:
        """Ids (text) and features of one file."""
        specs = spec.specs()
        texts = [name for name, column in specs.items() if column.kind in AS_TEXT]
        others = [name for name, column in specs.items() if column.kind not in AS_TEXT and not column.file]
        texts += [column.weights for column in specs.values() if column.weights]
        table = self._rows(spec, bad, (spec.id, *texts), others)
        table.check_ids(spec.id)
        table.check_unique(spec.id)
        for name, column in specs.items():
            check_column(table, name, column, spec.time_unit, spec.decimal)
        values = {column_of(n, s): column_values(table, n, s, self.root) for n, s in specs.items()}
        return FeatureRows(row_ids(table, spec.id), values)


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
        # every scalar stays text: a column may be named 2019, on or 1e5, which YAML takes for other things
        options = yaml.BaseLoader(path.read_text(encoding="utf-8")).get_single_data()
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadConfig(f"{path}: not YAML: {one_line(error)}") from error
    accepted = ("name", "interactions", "items", "users")
    if not isinstance(options, dict) or "interactions" not in options or not set(options) <= set(accepted):
        raise BadConfig(f"{path}: write the keys {', '.join(accepted)} (interactions is needed, the others may go)")
    options = {key: value for key, value in options.items() if value not in _NOTHING}
    options = {"name": path.stem, **options}
    if not isinstance(options["name"], str):
        raise BadConfig(f"{path}: name: {options['name']!r}: write one name")
    return Tabular(**options, root=path.parent, on_bad_rows=on_bad_rows, dropped_to=dropped_to, described_in=path)


def _options(kind: type[File], where: str, values: Mapping[str, Any]) -> File:
    """The options of one file, checked."""
    accepted = [f.name for f in fields(kind)]
    if not isinstance(values, Mapping) or not set(values) <= set(accepted):
        odd = sorted(set(values) - set(accepted)) if isinstance(values, Mapping) else values
        raise BadConfig(f"{where}: {odd} is not understood; write {', '.join(accepted)}")
    given: dict[str, Any] = {
        k: v if k in _STRUCTURED else _name(f"{where}: {k}", v) for k, v in values.items() if v not in _NOTHING
    }
    try:
        options = kind(**given)
    except TypeError as error:
        needed = [f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING]
        raise BadConfig(f"{where}: {', '.join(n for n in needed if n not in given)} must be given") from error
    if isinstance(options, EventsFile) and options.user == options.item:
        raise BadConfig(f"{where}: user and item are both {options.user!r}; name two columns")
    if options.time_unit not in SECONDS:
        raise BadConfig(f"{where}: time_unit={options.time_unit!r}: choose one of {', '.join(SECONDS)}")
    if options.delimiter is not None and len(options.delimiter) != 1:
        raise BadConfig(f"{where}: delimiter={options.delimiter!r}: give one character")
    if options.decimal not in (None, ".", ","):
        raise BadConfig(f"{where}: decimal={options.decimal!r}: give '.' or ','")
    try:
        codecs.lookup(options.encoding or "utf-8")
    except LookupError as error:
        raise BadConfig(f"{where}: encoding={options.encoding!r}: give e.g. utf-8, latin-1 or cp1252") from error
    return options


def _name(where: str, value: Any) -> str:
    """A name as text: a column may be called 2019.

    Raises:
        BadConfig: the value is none, such as the True that YAML makes of an unquoted `on`.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise BadConfig(
            f"{where}: {value!r} is not a name; write one name, in quotes if YAML takes it for something else"
        )
    return str(value)
