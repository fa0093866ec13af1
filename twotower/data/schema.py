"""`FeatureSchema`: names, kinds and limits of the columns of a feature table."""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from twotower.errors import BadInput


class Kind(StrEnum):
    """What a column holds."""

    CATEGORICAL = "categorical"
    MULTI_CATEGORICAL = "multi_categorical"
    CONTINUOUS = "continuous"
    TEXT = "text"
    TIMESTAMP = "timestamp"
    PLACE = "place"
    """A coordinate in degrees. Two such columns in a row are a place: latitude, then longitude."""
    VECTOR = "vector"
    """As many numbers in every row, e.g. an embedding of a text or an image."""


@dataclass(frozen=True, slots=True)
class Column:
    """Name and kind of one feature; `low`/`high` are outlier limits of a number (outside: missing)."""

    name: str
    kind: Kind
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class FeatureSchema:
    """The columns of a table, in order."""

    columns: tuple[Column, ...]

    def __post_init__(self) -> None:
        names = [c.name for c in self.columns]
        if len(set(names)) < len(names):
            raise BadInput(f"FeatureSchema: a column name stands twice in {names}")

    @property
    def names(self) -> tuple[str, ...]:
        """Column names, in order."""
        return tuple(c.name for c in self.columns)

    def of_kind(self, *kinds: Kind) -> tuple[Column, ...]:
        """The columns of the given kinds, in order."""
        return tuple(c for c in self.columns if c.kind in kinds)

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise BadInput(f"no column {name!r}; there are {', '.join(self.names) or 'none'}")

    def to_json(self) -> str:
        """One line of JSON; `from_json` reads it back."""
        return json.dumps([[c.name, c.kind.value, c.low, c.high] for c in self.columns])

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads what `to_json` wrote."""
        return cls(tuple(Column(name, Kind(kind), low, high) for name, kind, low, high in json.loads(text)))
