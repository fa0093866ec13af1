"""`FeatureEncoder`: learns vocabularies and z-norm statistics from a table's rows and encodes tables of that schema."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self, get_args

import numpy as np

from twotower.data.tables import Column, ColumnValues, FeatureTable, Kind
from twotower.errors import BadConfig, BadInput, BundleError
from twotower.features.encoded import PERIODIC, Codes, EncodedTable
from twotower.features.fields import CategoricalField, MultiField, TextField
from twotower.features.number_fields import AgeField, BinnedField, NumberEncoding, NumberField, VectorField
from twotower.features.places import CellField
from twotower.types import Array, Floats

FORMAT = 2
"""Version of `encoder.json`."""
CodedField = CategoricalField | MultiField | TextField | BinnedField | CellField
FIELDS: dict[str, type[CodedField]] = {
    "categorical": CategoricalField,
    "multi_categorical": MultiField,
    "text": TextField,
    "binned": BinnedField,
    "cell": CellField,
}
"""Coded fields by the name under which `encoder.json` keeps them."""
NUMBERS = (Kind.CONTINUOUS, Kind.TIMESTAMP, Kind.PLACE)


@dataclass(frozen=True, slots=True, eq=False)
class FeatureEncoder:
    """Columns to codes and z-values, the same way for every table of the schema it was fitted on.

    | kind | becomes |
    |---|---|
    | categorical | one int32 code, `UNKNOWN` for missing, rare and unseen values |
    | multi-categorical | a bag of known values whose weights sum to 1, empty when none is known |
    | text | a bag of hashed words, term frequencies that sum to 1 |
    | continuous, timestamp, place | z-value, 0 where missing; with an indicator `<name>?` if any was missing |
    | the same, "quantile" or "piecewise" | also a field `<name>#` of the bin, or of the knots around the value |
    | the same, "periodic" | also a column `<name>~`: the z-value, which networks read by waves of learnt frequencies |
    | timestamp, "age" | instead a field `<name>@` of the age at the moment that `transform` is given |
    | vector | z-values `<name>⟨i⟩` of its entries, which networks project to fewer |
    | two of place | also a field of the cell that they lie in, for each side of `place_cells` |

    Attributes:
        coded: fields that become codes: categories and words, bins, cells, each in the schema's order.
        numbers: fields that become z-values, in the schema's order.
        periodic: names of the numbers that networks also read by waves.
        ages: fields whose codes depend on the moment.
        vectors: fields of as many z-values as the vectors are long.
    """

    coded: tuple[CodedField, ...]
    numbers: tuple[NumberField, ...]
    periodic: tuple[str, ...] = ()
    ages: tuple[AgeField, ...] = ()
    vectors: tuple[VectorField, ...] = ()

    @classmethod
    def fit(
        cls,
        table: FeatureTable,
        rows: Array | None = None,
        *,
        min_count: int = 1,
        max_values: int | None = None,
        missing_indicator: bool = True,
        hash_buckets: int = 1024,
        exclude: Sequence[str] = (),
        numbers: NumberEncoding = "z",
        number_bins: int = 20,
        times: NumberEncoding = "z",
        number_encodings: Mapping[str, NumberEncoding] | None = None,
        place_cells: Sequence[float] = (),
        idf_from: int | None = None,
    ) -> Self:
        """Learns from some rows of a table.

        Args:
            table: features of items or users.
            rows: row numbers to learn from, e.g. the items of the training events; repeats count again. None: all.
            min_count: values seen in fewer rows share the unknown code.
            max_values: known values per field at most, the most frequent ones. None: all.
            missing_indicator: give an indicator column to each number that is missing in some row.
            hash_buckets: buckets of each text field.
            exclude: columns to leave out, e.g. a title that only names an item to people.
            numbers: what continuous columns become beside their z-values; places have cells instead.
            number_bins: most bins of a number that becomes codes.
            times: what timestamps become.
            number_encodings: another choice than `numbers` or `times` for some columns.
            place_cells: sides of the cells of places, kilometres.
            idf_from: multi-categorical columns of at least so many known values are weighted by their rarity; None:
                none are.

        Raises:
            BadInput: `exclude` or `number_encodings` name a column that is not there, or a place lacks its second one.
            BadConfig: `min_count`, `max_values` or `hash_buckets` is below 1, `number_bins` below 2, a side not above
                0, or an encoding is unknown or meant for a column of another kind.
        """
        left_out = {table.schema[name].name for name in exclude}
        columns = [c for c in table.schema.columns if c.name not in left_out]
        learnt = table if rows is None else table.take(np.asarray(rows))
        numeric = [c for c in columns if c.kind in NUMBERS]
        chosen = _encodings(table, numeric, numbers, times, number_encodings or {})
        coded: list[CodedField] = [
            _fit_coded(c, learnt[c.name], min_count, max_values, hash_buckets, idf_from)
            for c in columns
            if c.kind not in (*NUMBERS, Kind.VECTOR)
        ]
        for c in numeric:
            if chosen[c.name] in ("quantile", "piecewise"):
                soft = chosen[c.name] == "piecewise"
                coded.append(BinnedField.fit(c, learnt[c.name], n_bins=number_bins, soft=soft))
        for lat, lon in _places(table, left_out):
            both = learnt[lat.name], learnt[lon.name]
            coded += [CellField.fit(lat, lon, both, side=side, min_count=min_count) for side in place_cells]
        valued = [c for c in numeric if chosen[c.name] != "age"]
        return cls(
            tuple(coded),
            tuple(NumberField.fit(c, learnt[c.name], missing_indicator=missing_indicator) for c in valued),
            tuple(c.name for c in valued if chosen[c.name] == "periodic"),
            tuple(AgeField.fit(c) for c in numeric if chosen[c.name] == "age"),
            tuple(VectorField.fit(c, learnt[c.name]) for c in columns if c.kind is Kind.VECTOR),
        )

    @property
    def sizes(self) -> dict[str, int]:
        """Number of codes of each coded field, ages included."""
        return {field.name: field.size for field in (*self.coded, *self.ages)}

    @property
    def continuous_names(self) -> tuple[str, ...]:
        """Columns of `EncodedTable.continuous`: the z-values, the indicators, what is read by waves, vectors."""
        indicators = tuple(f"{f.name}?" for f in self.numbers if f.indicator)
        waves = tuple(name + PERIODIC for name in self.periodic)
        entries = tuple(name for field in self.vectors for name in field.continuous_names)
        return (*(f.name for f in self.numbers), *indicators, *waves, *entries)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads, each once."""
        read = [column for field in self.coded for column in field.columns]
        read += [f.name for f in self.numbers] + [f.name for f in self.vectors] + [f.column for f in self.ages]
        return tuple(dict.fromkeys(read))

    def transform(self, table: FeatureTable, at: int | None = None) -> EncodedTable:
        """Encodes every row.

        Args:
            table: of the schema that was learnt from.
            at: moment as of which ages are told, seconds since the epoch.

        Raises:
            BadInput: a fitted column is absent or of another kind, or there are ages but no moment.
        """
        codes: dict[str, Codes] = {
            field.name: field.encode(*(table[column] for column in field.columns)) for field in self.coded
        }
        for age in self.ages:
            if at is None:
                raise BadInput(
                    f"{age.column} becomes its age: say at which moment, FeatureEncoder.transform(table, at)"
                )
            codes[age.name] = age.encode(table[age.column], at)
        z = self.z_values(table)
        missing, known = np.isnan(z[:, [f.indicator for f in self.numbers]]), np.nan_to_num(z, nan=0.0)
        waves = known[:, [f.name in self.periodic for f in self.numbers]]
        vectors = [field.encode(table[field.name]) for field in self.vectors]
        continuous = np.hstack([known, missing.astype(np.float32), waves, *vectors])
        return EncodedTable(self.sizes, codes, continuous, self.continuous_names)

    def z_values(self, table: FeatureTable) -> Floats:
        """The z-values of every row, NaN where missing. Shape [n, len(numbers)]."""
        z = np.empty((len(table), len(self.numbers)), np.float32)
        for column, field in enumerate(self.numbers):
            z[:, column] = field.encode(table[field.name])
        return z

    def save(self, directory: Path) -> None:
        """`encoder.json` in a directory that is made if needed."""
        directory.mkdir(parents=True, exist_ok=True)
        facts = {
            "format": FORMAT,
            "coded": [{"field": _name_of(field), **field.facts()} for field in self.coded],
            "numbers": [asdict(field) for field in self.numbers],
            "periodic": self.periodic,
            "ages": [asdict(field) for field in self.ages],
            "vectors": [field.facts() for field in self.vectors],
        }
        (directory / "encoder.json").write_text(json.dumps(facts, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Opens what `save` wrote.

        Raises:
            BundleError: the file is of another format version.
        """
        facts = json.loads((directory / "encoder.json").read_text(encoding="utf-8"))
        if facts["format"] != FORMAT:
            raise BundleError(f"{directory / 'encoder.json'} has format {facts['format']}, this version reads {FORMAT}")
        return cls(
            tuple(FIELDS[field.pop("field")].of(**field) for field in facts["coded"]),
            tuple(NumberField(**field) for field in facts["numbers"]),
            tuple(facts["periodic"]),
            tuple(AgeField(**field) for field in facts["ages"]),
            tuple(VectorField.of(**field) for field in facts["vectors"]),
        )


def _fit_coded(
    column: Column,
    values: ColumnValues,
    min_count: int,
    max_values: int | None,
    hash_buckets: int,
    idf_from: int | None,
) -> CodedField:
    name = column.name
    if column.kind is Kind.TEXT:
        return TextField(name, hash_buckets)
    if column.kind is Kind.CATEGORICAL:
        return CategoricalField.fit(name, values, min_count=min_count, max_values=max_values)
    return MultiField.fit(name, values, min_count=min_count, max_values=max_values, idf_from=idf_from)


def _name_of(field: CodedField) -> str:
    return next(name for name, kind in FIELDS.items() if type(field) is kind)


def _encodings(
    table: FeatureTable,
    numeric: Sequence[Column],
    numbers: NumberEncoding,
    times: NumberEncoding,
    others: Mapping[str, NumberEncoding],
) -> dict[str, NumberEncoding]:
    """What each number becomes."""
    for name, encoding in {"numbers": numbers, "times": times, **others}.items():
        if encoding not in get_args(NumberEncoding):
            raise BadConfig(f"{name}: encoding {encoding!r} is unknown; use {', '.join(get_args(NumberEncoding))}")
    for name in others:
        if table.schema[name].kind not in NUMBERS:
            raise BadConfig(f"number_encodings: {name} is {table.schema[name].kind}; name columns of numbers or times")
    usual: dict[Kind, NumberEncoding] = {Kind.CONTINUOUS: numbers, Kind.TIMESTAMP: times, Kind.PLACE: "z"}
    chosen = {c.name: others.get(c.name, usual[c.kind]) for c in numeric}
    for c in numeric:
        if chosen[c.name] == "age" and c.kind is not Kind.TIMESTAMP:
            raise BadConfig(f"{c.name}: encoding 'age' is for timestamp columns, this one is {c.kind}")
    return chosen


def _places(table: FeatureTable, left_out: set[str]) -> list[tuple[Column, Column]]:
    """Latitude and longitude of each place of which no column is left out."""
    columns = table.schema.of_kind(Kind.PLACE)
    if len(columns) % 2:
        raise BadInput(
            f"{columns[-1].name}: a place is two columns of kind place, latitude and longitude in this order; "
            f"there are {', '.join(c.name for c in columns)}"
        )
    return [pair for pair in zip(columns[::2], columns[1::2], strict=True) if not left_out & {c.name for c in pair}]
