"""From checked tables to a `Dataset`: numbering ids, aligning feature rows with them, ordering events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from twotower.data.dataset import Dataset
from twotower.data.ids import IdMap
from twotower.data.interactions import Interactions
from twotower.data.reading.cell_lists import split_cells
from twotower.data.reading.raw_table import RawTable
from twotower.data.tables import (
    MISSING,
    MISSING_TIME,
    Categories,
    Column,
    ColumnValues,
    FeatureSchema,
    FeatureTable,
    MultiCategories,
)
from twotower.errors import BadInput
from twotower.types import Array, Bools, Ids, Ragged

MOST_KINDS = 127
"""Kinds of events are stored in one byte."""


def number_ids(names: Array, what: str) -> IdMap:
    """Numbers distinct ids given as text: by number if all are whole numbers as people write them, else by text."""
    distinct = pd.unique(names)
    if all(_is_plain_number(name) for name in distinct):
        return IdMap.of(np.sort(distinct.astype(np.int64)), what)
    return IdMap.of(np.sort(distinct), what)


def _is_plain_number(name: str) -> bool:
    """Whether int and back gives the same text: "007" and "+7" must stay text, or they would meet "7"."""
    return len(name) <= 18 and name.removeprefix("-").isdecimal() and str(int(name)) == name


def as_text(ids: IdMap) -> Array:
    """External ids as text, by internal id. dtype object. Shape [n]."""
    return ids.external if ids.external.dtype == object else ids.external.astype(str).astype(object)


def row_ids(table: RawTable, column: str) -> Array:
    """The id of every row of a checked id column, as text. Shape [n]."""
    indices, names = table.ids(column)
    return names[indices]


def positions(table: RawTable, column: str, known: Array) -> Ids:
    """Where each row's id stands in `known` (distinct ids as text), -1 where it does not. Shape [n]."""
    indices, names = table.ids(column)
    return _find(names, known)[indices]


def _find(names: Array, known: Array) -> Ids:
    return pd.Index(known).get_indexer(pd.Index(names)).astype(np.int64)


def used_ids(table: RawTable, column: str) -> Array:
    """The distinct ids of a checked id column, as text."""
    indices, names = table.ids(column)
    return names[np.bincount(indices, minlength=len(names)) > 0]


def refuse_unknown(table: RawTable, column: str, known: Array, where: str) -> None:
    """Refuses rows of a checked id column whose id is not in `known` (text); `where` names the file that lists them."""

    def unknown(names: Array) -> Bools:
        return _find(names, known) < 0

    table.refuse_where(column, unknown, f"is not listed in {where}", f"add it to {where}")


@dataclass(frozen=True, slots=True)
class Events:
    """Checked events of one file and the columns that hold them; rows in file order.

    Attributes:
        table: the rows.
        user: id column.
        item: id column.
        time: checked time column; None: the source does not know, all times are 0.
        value: checked numeric column; None: 1 each.
        kind: column of event kinds; None: all are of kind `kinds[0]`.
        kinds: names of the kinds; with a kind column they are read from it.
        ordered: without times, whether the rows stand in the order of time.
    """

    table: RawTable
    user: str
    item: str
    time: str | None = None
    value: str | None = None
    kind: str | None = None
    kinds: tuple[str, ...] = ("event",)
    ordered: bool = False

    def interactions(self, users: IdMap, items: IdMap) -> Interactions:
        """Events with internal ids; ties in time keep the file's order; without order a user's items stand by id."""
        user = positions(self.table, self.user, as_text(users))
        item = positions(self.table, self.item, as_text(items))
        kind, kinds = self._kinds()
        value = np.ones(len(user), np.float32) if self.value is None else self.table.numbers(self.value)
        if self.time is None:
            time = np.zeros(len(user), np.int64)
            rows = np.arange(len(user)) if self.ordered else np.argsort(item, kind="stable")
        else:
            time, rows = self.table.times(self.time), np.arange(len(user))
        return Interactions.of(
            user[rows], item[rows], time[rows], kind=kind[rows], value=value[rows], kinds=kinds,
            n_users=len(users), n_items=len(items),
        )  # fmt: skip

    def _kinds(self) -> tuple[Array, tuple[str, ...]]:
        """Code of each event's kind [n], and the names of the kinds."""
        if self.kind is None:
            return np.zeros(len(self.table), np.int8), self.kinds
        codes, names = self.table.ids(self.kind)
        if len(names) > MOST_KINDS:
            raise BadInput(
                f"{self.table.path}: column {self.kind!r} names {len(names)} kinds of events, at most {MOST_KINDS} "
                "are possible; name the column that holds view, save, buy or the like"
            )
        return codes.astype(np.int8), tuple(names)


@dataclass(frozen=True, slots=True)
class FeatureRows:
    """Feature columns of users or items as read: one entry per row of the file, which `ids` names.

    Attributes:
        ids: external ids as text, distinct. Shape [n].
        columns: the columns and their values, n rows each.
    """

    ids: Array
    columns: Mapping[Column, ColumnValues]

    def align(self, ids: Array) -> FeatureTable:
        """The values in the order of `ids` (text); ids without a row get missing values."""
        rows = _find(ids, self.ids)
        schema = FeatureSchema(tuple(self.columns))
        return FeatureTable(schema, {c.name: take_or_missing(v, rows) for c, v in self.columns.items()}, len(ids))

    def join(self, other: "FeatureRows") -> "FeatureRows":
        """These rows with the columns of `other` added; rows that `other` lacks get missing values."""
        rows = _find(self.ids, other.ids)
        added = {column: take_or_missing(values, rows) for column, values in other.columns.items()}
        return FeatureRows(self.ids, {**self.columns, **added})


def take_or_missing(values: ColumnValues, rows: Ids) -> ColumnValues:
    """`values` at the given rows, missing where the row is -1."""
    if isinstance(values, Categories):
        return Categories(np.where(rows < 0, MISSING, _at(values.codes, rows)).astype(np.int32), values.values)
    if isinstance(values, MultiCategories):
        lengths = np.append(values.codes.lengths, 0)[rows]
        there = values.take(rows[rows >= 0])
        codes = Ragged.from_lengths(there.codes.values, lengths)
        return MultiCategories(codes, there.weights, values.values)
    absent = "" if values.dtype == object else MISSING_TIME if values.dtype == np.int64 else np.nan
    lacking = (rows < 0).reshape(-1, *(1,) * (values.ndim - 1))
    return np.where(lacking, absent, _at(values, rows)).astype(values.dtype)


def _at(values: Array, rows: Ids) -> Array:
    return values[rows] if len(values) else np.zeros((len(rows), *values.shape[1:]), values.dtype)


def lists_of(owner: Ids, values: Sequence[str] | Array, n_rows: int, weights: Array | None = None) -> MultiCategories:
    """One weighted list per row from (row number, value) pairs, in the order of the pairs."""
    order = np.argsort(owner, kind="stable")
    coded = Categories.of(np.asarray(values, object)[order])
    weights = np.ones(len(order)) if weights is None else weights[order]
    codes = Ragged.from_lengths(coded.codes, np.bincount(owner, minlength=n_rows))
    return MultiCategories(codes, weights.astype(np.float32), coded.values)


def split_lists(texts: Array, separator: str, drop: Sequence[str] = ()) -> MultiCategories:
    """Lists written in one cell, see `split_cells`; empty parts and those in `drop` are left out."""
    parts, _ = split_cells(texts, separator)
    return MultiCategories.of([[part for part in row if part not in drop] for row in parts])


def build(
    name: str,
    events: Events,
    *,
    users: IdMap,
    items: IdMap,
    user_features: FeatureRows | None = None,
    item_features: FeatureRows | None = None,
    category: str | None = None,
    title: str | None = None,
) -> Dataset:
    """A `Dataset` of checked events and features; every id of the events must be in `users` and `items`."""
    return Dataset(
        name,
        events.interactions(users, items),
        FeatureTable.empty(len(users)) if user_features is None else user_features.align(as_text(users)),
        FeatureTable.empty(len(items)) if item_features is None else item_features.align(as_text(items)),
        users,
        items,
        category=category,
        title=title,
    )
