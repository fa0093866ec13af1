"""Catalogue rules such as `price<=15000` and `genres in Comedy,Drama`, and what is for sale: masks of allowed items."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

import numpy as np

from twotower.data.dataset import Lifetimes
from twotower.data.tables import MISSING, MISSING_TIME, Categories, FeatureTable, Kind, MultiCategories
from twotower.errors import BadConfig
from twotower.text import near
from twotower.types import Array, Bools, Floats, Ids

_WORDED = r"\s+(?P<operator>not\s+in|in)\s+(?P<values>.+?)\s*$"
_SIGNED = r"\s*(?P<operator><=|>=|!=|==|=|<|>)\s*(?P<values>[^<>=\s].*?)\s*$"
_WORD = re.compile(rf"^\s*(?P<column>.+?){_WORDED}")
_SIGN = re.compile(rf"^\s*(?P<column>[^<>=!]*[^<>=!\s]){_SIGNED}")
_ORDER = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}
_NEGATED = ("!=", "not in")


@dataclass(frozen=True, slots=True)
class Rule:
    """One condition on one column of the catalogue.

    An item whose value is missing meets no rule except `!=` and `not in`. A multi-categorical column meets `=` and
    `in` if any of its values does, `!=` and `not in` if none does.

    Attributes:
        column: name of the column.
        operator: one of `= != < <= > >= in`, or `not in`.
        values: the texts on the right; several for `in` and `not in`.
    """

    column: str
    operator: str
    values: tuple[str, ...]

    @classmethod
    def parse(cls, text: str, columns: Iterable[str] = ()) -> Self:
        """Reads `price<=15000`, `fuel = diesel`, `genres in Comedy, Drama`.

        Args:
            text: the rule.
            columns: known names; one that the text begins with is the column, whatever words and signs it holds.

        Raises:
            BadConfig: the text has no column, operator and value.
        """
        match = _of_known(text, columns) or _SIGN.match(text) or _WORD.match(text)
        values = _values(match) if match else ()
        if match is None or not values:
            raise BadConfig(f"rule {text!r}: write a column, one of = != < <= > >= in 'not in', and a value")
        return cls(match["column"], " ".join(match["operator"].split()).replace("==", "="), values)

    def __str__(self) -> str:
        gap = " " if self.operator.endswith("in") else ""
        return f"{self.column}{gap}{self.operator}{gap}{','.join(self.values)}"

    def mask(self, catalogue: FeatureTable) -> Bools:
        """Items that meet the rule. Shape [N].

        Raises:
            BadConfig: no such column, a value that the column cannot hold, or an operator that it does not order by.
        """
        if self.column not in catalogue.schema.names:
            raise self._refused(f"no column {self.column!r}; {near(self.column, catalogue.schema.names)}")
        values = catalogue[self.column]
        if isinstance(values, Categories):
            return self._of_categories(values)
        if isinstance(values, MultiCategories):
            return self._of_sets(values)
        if catalogue.schema[self.column].kind is Kind.TEXT:
            return self._equal(values, np.asarray(self.values, dtype=object), values == "")
        if catalogue.schema[self.column].kind is Kind.TIMESTAMP:
            return self._of_numbers(values, [self._moment(v) for v in self.values], values == MISSING_TIME)
        return self._of_numbers(values, [self._number(v) for v in self.values], np.isnan(values))

    def _of_categories(self, column: Categories) -> Bools:
        missing = column.codes == MISSING
        if self.operator in _ORDER:
            numbers = self._numbers_of(column)
            return self._of_numbers(numbers[column.codes], [self._number(v) for v in self.values], missing)
        return self._equal(column.codes, self._codes(column.values), missing)

    def _of_sets(self, column: MultiCategories) -> Bools:
        if self.operator in _ORDER:
            raise self._refused("a column of several values has no order; use = != in 'not in'")
        hits = np.isin(column.codes.values, self._codes(column.values))
        has = np.bincount(column.codes.row_ids()[hits], minlength=len(column)) > 0
        return np.asarray(~has if self.operator in _NEGATED else has)

    def _of_numbers(self, numbers: Array, wanted: list[float], missing: Bools) -> Bools:
        if self.operator in _ORDER:
            return np.asarray(_ORDER[self.operator](numbers, wanted[0]) & ~missing)
        return self._equal(numbers, np.asarray(wanted), missing)

    def _equal(self, values: Array, wanted: Array, missing: Bools) -> Bools:
        if self.operator in _ORDER:
            raise self._refused("text has no order; use = != in 'not in'")
        met = np.isin(values, wanted) & ~missing
        return np.asarray(~met if self.operator in _NEGATED else met)

    def _codes(self, known: Array) -> Ids:
        """Positions of the rule's values among those of the column."""
        position = {str(value): code for code, value in enumerate(known)}
        for value in self.values:
            if value not in position:
                raise self._refused(f"no item has {self.column} {value!r}; {near(value, position)}")
        return np.asarray([position[value] for value in self.values])

    def _numbers_of(self, column: Categories) -> Floats:
        try:
            return np.asarray(column.values, dtype=np.float64)
        except ValueError:
            raise self._refused(f"the values of {self.column!r} have no order; use = != in 'not in'") from None

    def _number(self, text: str) -> float:
        try:
            return float(text)
        except ValueError:
            raise self._refused(f"{text!r} is not a number, and {self.column!r} holds numbers") from None

    def _moment(self, text: str) -> float:
        """Seconds since the epoch of an ISO date, or of such a number itself."""
        try:
            return float(text)
        except ValueError:
            pass
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise self._refused(f"{text!r} is neither a date such as 2024-12-31 nor seconds since 1970") from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

    def _refused(self, why: str) -> BadConfig:
        return BadConfig(f"rule '{self}': {why}")


def rule_masks(texts: Iterable[str], catalogue: FeatureTable) -> dict[str, Bools]:
    """Each rule as written and the items that meet it. Shapes [N].

    Raises:
        BadConfig: a rule does not parse or does not fit the catalogue.
    """
    return {text.strip(): Rule.parse(text, catalogue.schema.names).mask(catalogue) for text in texts}


def lifetime_masks(lifetimes: Lifetimes | None, at: int) -> dict[str, Bools]:
    """Items not sold yet and items already listed at a moment; nothing where lifetimes are unknown. Shapes [N]."""
    if lifetimes is None:
        return {}
    return {"not sold": lifetimes.until > at, "already listed": lifetimes.since <= at}


def all_of(masks: Iterable[Bools]) -> Bools | None:
    """Items that every mask allows; None if there is no mask. Shape [N]."""
    masks = list(masks)
    return np.logical_and.reduce(masks) if masks else None


def _of_known(text: str, columns: Iterable[str]) -> re.Match[str] | None:
    """The rule as one on a known column, the longest first: a column may be called "made in" or "a<b"."""
    for name in sorted(columns, key=len, reverse=True):
        for pattern in (_SIGNED, _WORDED):
            if found := re.match(rf"^\s*(?P<column>{re.escape(name)}){pattern}", text):
                return found
    return None


def _values(found: re.Match[str]) -> tuple[str, ...]:
    """The right side: one text after a sign, texts between commas after a word."""
    if not found["operator"].endswith("in"):
        return (found["values"],)
    parts = (part.strip() for part in found["values"].strip("()[]").split(","))
    return tuple(part for part in parts if part)
