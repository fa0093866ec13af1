"""`FeatureEncoder`: learns vocabularies and z-norm statistics from a table's rows and encodes tables of that schema."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self, get_args

import numpy as np

from twotower.data.tables import Column, ColumnValues, FeatureTable, Kind
from twotower.errors import BadConfig, BundleError
from twotower.features.encoded import PERIODIC, EncodedTable
from twotower.features.fields import CategoricalField, MultiField, TextField
from twotower.features.number_fields import BinnedField, NumberEncoding, NumberField
from twotower.types import Array, Floats

FORMAT = 2
"""Version of `encoder.json`."""
CodedField = CategoricalField | MultiField | TextField | BinnedField
FIELDS: dict[str, type[CodedField]] = {
    "categorical": CategoricalField,
    "multi_categorical": MultiField,
    "text": TextField,
    "binned": BinnedField,
}
"""Coded fields by the name under which `encoder.json` keeps them."""
NUMBERS = (Kind.CONTINUOUS, Kind.TIMESTAMP)


@dataclass(frozen=True, slots=True, eq=False)
class FeatureEncoder:
    """Columns to codes and z-values, the same way for every table of the schema it was fitted on.

    | kind | becomes |
    |---|---|
    | categorical | one int32 code, `UNKNOWN` for missing, rare and unseen values |
    | multi-categorical | a bag of known values whose weights sum to 1, empty when none is known |
    | text | a bag of hashed words, term frequencies that sum to 1 |
    | continuous, timestamp | z-value, 0 where missing; with an indicator column `<name>?` if any was missing |
    | the same, "quantile" or "piecewise" | also a field `<name>#` of the bin, or of the knots around the value |
    | the same, "periodic" | also a column `<name>~`: the z-value, which networks read by waves of learnt frequencies |

    Attributes:
        coded: fields that become codes: categories and words, then bins, each in the schema's order.
        numbers: fields that become z-values, in the schema's order.
        periodic: names of the numbers that networks also read by waves.
    """

    coded: tuple[CodedField, ...]
    numbers: tuple[NumberField, ...]
    periodic: tuple[str, ...] = ()

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
        number_encodings: Mapping[str, NumberEncoding] | None = None,
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
            numbers: what numbers become beside their z-values.
            number_bins: most bins of a number that becomes codes.
            number_encodings: another choice than `numbers` for some columns.

        Raises:
            BadInput: `exclude` or `number_encodings` name a column that is not there.
            BadConfig: `min_count`, `max_values` or `hash_buckets` is below 1, `number_bins` below 2, or an encoding is
                unknown or meant for a column that holds no numbers.
        """
        left_out = {table.schema[name].name for name in exclude}
        columns = [c for c in table.schema.columns if c.name not in left_out]
        learnt = table if rows is None else table.take(np.asarray(rows))
        numeric = [c for c in columns if c.kind in NUMBERS]
        chosen = _encodings(table, numeric, numbers, number_encodings or {})
        return cls(
            (
                *(
                    _fit_coded(c, learnt[c.name], min_count, max_values, hash_buckets)
                    for c in columns
                    if c.kind not in NUMBERS
                ),
                *(
                    BinnedField.fit(c, learnt[c.name], n_bins=number_bins, soft=chosen[c.name] == "piecewise")
                    for c in numeric
                    if chosen[c.name] in ("quantile", "piecewise")
                ),
            ),
            tuple(NumberField.fit(c, learnt[c.name], missing_indicator=missing_indicator) for c in numeric),
            tuple(c.name for c in numeric if chosen[c.name] == "periodic"),
        )

    @property
    def sizes(self) -> dict[str, int]:
        """Number of codes of each coded field."""
        return {field.name: field.size for field in self.coded}

    @property
    def continuous_names(self) -> tuple[str, ...]:
        """Columns of `EncodedTable.continuous`: the z-values, the indicators, what is read by waves."""
        indicators = tuple(f"{f.name}?" for f in self.numbers if f.indicator)
        return tuple(f.name for f in self.numbers) + indicators + tuple(name + PERIODIC for name in self.periodic)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads, each once."""
        read = [column for field in self.coded for column in field.columns]
        return tuple(dict.fromkeys([*read, *(field.name for field in self.numbers)]))

    def transform(self, table: FeatureTable) -> EncodedTable:
        """Encodes every row.

        Raises:
            BadInput: a fitted column is absent or of another kind.
        """
        codes = {field.name: field.encode(*(table[column] for column in field.columns)) for field in self.coded}
        z = self.z_values(table)
        missing, known = np.isnan(z[:, [f.indicator for f in self.numbers]]), np.nan_to_num(z, nan=0.0)
        waves = known[:, [f.name in self.periodic for f in self.numbers]]
        continuous = np.hstack([known, missing.astype(np.float32), waves])
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
        )


def _fit_coded(
    column: Column, values: ColumnValues, min_count: int, max_values: int | None, hash_buckets: int
) -> CodedField:
    if column.kind is Kind.TEXT:
        return TextField(column.name, hash_buckets)
    field_class = CategoricalField if column.kind is Kind.CATEGORICAL else MultiField
    return field_class.fit(column.name, values, min_count=min_count, max_values=max_values)


def _name_of(field: CodedField) -> str:
    return next(name for name, kind in FIELDS.items() if type(field) is kind)


def _encodings(
    table: FeatureTable, numeric: Sequence[Column], default: NumberEncoding, others: Mapping[str, NumberEncoding]
) -> dict[str, NumberEncoding]:
    """What each number becomes."""
    for name, encoding in {"numbers": default, **others}.items():
        if encoding not in get_args(NumberEncoding):
            raise BadConfig(f"{name}: encoding {encoding!r} is unknown; use {', '.join(get_args(NumberEncoding))}")
    for name in others:
        if table.schema[name].kind not in NUMBERS:
            raise BadConfig(
                f"number_encodings: {name} is {table.schema[name].kind}; name continuous or timestamp columns"
            )
    return {c.name: others.get(c.name, default) for c in numeric}
