"""`FeatureEncoder`: learns vocabularies and z-norm statistics from a table's rows and encodes tables of that schema."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from twotower.data.tables import Column, ColumnValues, FeatureTable, Kind
from twotower.errors import BundleError
from twotower.features.encoded import EncodedTable
from twotower.features.fields import CategoricalField, CodedField, MultiField, NumberField, TextField
from twotower.features.vocabulary import Vocabulary
from twotower.types import Array, Floats

FORMAT = 1
"""Version of `encoder.json`."""


@dataclass(frozen=True, slots=True, eq=False)
class FeatureEncoder:
    """Columns to codes and z-values, the same way for every table of the schema it was fitted on.

    | kind | becomes |
    |---|---|
    | categorical | one int32 code, `UNKNOWN` for missing, rare and unseen values |
    | multi-categorical | a bag of known values whose weights sum to 1, empty when none is known |
    | text | a bag of hashed words, term frequencies that sum to 1 |
    | continuous, timestamp | z-value, 0 where missing; with an indicator column `<name>?` if any was missing |

    Attributes:
        coded: fields that become codes, in the schema's order.
        numbers: fields that become z-values, in the schema's order.
    """

    coded: tuple[CodedField, ...]
    numbers: tuple[NumberField, ...]

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

        Raises:
            BadInput: `exclude` names a column that is not there.
            BadConfig: `min_count`, `max_values` or `hash_buckets` is below 1.
        """
        left_out = {table.schema[name].name for name in exclude}
        columns = [c for c in table.schema.columns if c.name not in left_out]
        learnt = table if rows is None else table.take(np.asarray(rows))
        numbers = (Kind.CONTINUOUS, Kind.TIMESTAMP)
        return cls(
            tuple(
                _fit_coded(c, learnt[c.name], min_count, max_values, hash_buckets)
                for c in columns
                if c.kind not in numbers
            ),
            tuple(
                NumberField.fit(c, learnt[c.name], missing_indicator=missing_indicator)
                for c in columns
                if c.kind in numbers
            ),
        )

    @property
    def sizes(self) -> dict[str, int]:
        """Number of codes of each coded field."""
        return {field.name: field.size for field in self.coded}

    @property
    def continuous_names(self) -> tuple[str, ...]:
        """Columns of `EncodedTable.continuous`: the z-values, then the indicators."""
        return tuple(f.name for f in self.numbers) + tuple(f"{f.name}?" for f in self.numbers if f.indicator)

    def transform(self, table: FeatureTable) -> EncodedTable:
        """Encodes every row.

        Raises:
            BadInput: a fitted column is absent or of another kind.
        """
        codes = {field.name: field.encode(table[field.name]) for field in self.coded}
        z = self.z_values(table)
        missing = np.isnan(z[:, [f.indicator for f in self.numbers]])
        continuous = np.hstack([np.nan_to_num(z, nan=0.0), missing.astype(np.float32)])
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
            "coded": [_coded_facts(field) for field in self.coded],
            "numbers": [asdict(field) for field in self.numbers],
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
            tuple(_coded_of(field) for field in facts["coded"]),
            tuple(NumberField(**field) for field in facts["numbers"]),
        )


def _fit_coded(
    column: Column, values: ColumnValues, min_count: int, max_values: int | None, hash_buckets: int
) -> CodedField:
    if column.kind is Kind.TEXT:
        return TextField(column.name, hash_buckets)
    made = CategoricalField if column.kind is Kind.CATEGORICAL else MultiField
    return made.fit(column.name, values, min_count=min_count, max_values=max_values)


def _coded_facts(field: CodedField) -> dict[str, Any]:
    if isinstance(field, TextField):
        return {"kind": Kind.TEXT, "name": field.name, "buckets": field.buckets}
    kind = Kind.CATEGORICAL if isinstance(field, CategoricalField) else Kind.MULTI_CATEGORICAL
    return {"kind": kind, "name": field.name, "values": field.vocabulary.values.tolist()}


def _coded_of(facts: dict[str, Any]) -> CodedField:
    if facts["kind"] == Kind.TEXT:
        return TextField(facts["name"], facts["buckets"])
    vocabulary = Vocabulary(np.asarray(facts["values"], dtype=object))
    made = CategoricalField if facts["kind"] == Kind.CATEGORICAL else MultiField
    return made(facts["name"], vocabulary)
