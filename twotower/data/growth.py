"""A newer state of a data set in the numbers of an older one: known ids keep theirs, new ones follow."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from twotower.data.dataset import Dataset
from twotower.data.ids import IdMap
from twotower.data.interactions import Interactions
from twotower.data.plain_ids import whole_number
from twotower.data.reading.assembly import FeatureRows, take_or_missing
from twotower.data.stacking import stacked, take
from twotower.data.tables import FeatureTable
from twotower.data.versions import ItemVersions, Lifetimes
from twotower.errors import BadInput
from twotower.types import Array, Bools, Ids

_EVER = np.iinfo(np.int64)


def grown(dataset: Dataset, users: IdMap, items: IdMap, *, new_items: bool = True) -> Dataset:
    """The data set renumbered so that it can be served by a model that was fitted on an older state of it.

    Ids of the older state that are gone keep their numbers: such users have no events, such items are no longer for
    sale.

    Args:
        dataset: the newer state.
        users: user ids of the older state.
        items: item ids of the older state.
        new_items: whether items that the older state lacks follow; else they and their events are left out.
    """
    user_ids, item_ids = _joined(users, dataset.user_ids), _joined(items, dataset.item_ids) if new_items else items
    user_of, item_of = _numbers(dataset.user_ids, user_ids), _numbers(dataset.item_ids, item_ids)
    user_rows, item_rows = _rows(user_of, len(user_ids)), _rows(item_of, len(item_ids))

    def moved(events: Interactions | None) -> Interactions | None:
        if events is None:
            return None
        known = item_of[events.item] >= 0
        return Interactions.of(
            user_of[events.user[known]], item_of[events.item[known]], events.time[known], kind=events.kind[known],
            value=events.value[known], kinds=events.kinds, n_users=len(user_ids), n_items=len(item_ids),
        )  # fmt: skip

    interactions = moved(dataset.interactions)
    assert interactions is not None
    return replace(
        dataset,
        interactions=interactions,
        log=moved(dataset.log),
        disliked=moved(dataset.disliked),
        users=_taken(dataset.users, user_rows),
        items=_taken(dataset.items, item_rows),
        user_ids=user_ids,
        item_ids=item_ids,
        versions=None if dataset.versions is None else _moved_versions(dataset.versions, item_of),
        lifetimes=_lifetimes(dataset.lifetimes, item_rows),
    )


def extended(dataset: Dataset, *, users: FeatureRows | None = None, items: FeatureRows | None = None) -> Dataset:
    """The data set with more users and items, numbered after the others; known ones get the features given now.

    Args:
        dataset: has the columns of the rows.
        users: ids and features.
        items: ids and features. Where lifetimes are known, new items are for sale from now on.
    """
    user_ids, user_table = _with_rows(dataset.user_ids, dataset.users, users)
    item_ids, item_table = _with_rows(dataset.item_ids, dataset.items, items)

    def sized(events: Interactions | None) -> Interactions | None:
        return None if events is None else replace(events, n_users=len(user_ids), n_items=len(item_ids))

    interactions = sized(dataset.interactions)
    assert interactions is not None
    lifetimes = dataset.lifetimes
    if lifetimes is not None:
        added = len(item_ids) - dataset.n_items
        lifetimes = Lifetimes(
            np.append(lifetimes.since, np.full(added, _EVER.min)), np.append(lifetimes.until, np.full(added, _EVER.max))
        )
    return replace(
        dataset, interactions=interactions, log=sized(dataset.log), disliked=sized(dataset.disliked), users=user_table,
        items=item_table, user_ids=user_ids, item_ids=item_ids, lifetimes=lifetimes,
    )  # fmt: skip


def _with_rows(ids: IdMap, table: FeatureTable, rows: FeatureRows | None) -> tuple[IdMap, FeatureTable]:
    if rows is None:
        return ids, table
    known = ids.to_internal(rows.ids, unknown=-1)
    joined = IdMap.of([*ids.external.tolist(), *_like(ids, rows.ids[known < 0])], ids.what)
    before = np.append(np.arange(len(ids)), np.full(len(joined) - len(ids), -1))
    now = before.copy()
    now[joined.to_internal(rows.ids)] = len(ids) + np.arange(len(rows.ids))
    given = {column.name: values for column, values in rows.columns.items()}
    values = {
        name: take(stacked(table[name], given[name]), now) if name in given else take_or_missing(table[name], before)
        for name in table.schema.names
    }
    return joined, FeatureTable(table.schema, values, len(joined))


def _like(ids: IdMap, new: Array) -> list[Any]:
    """New ids as numbers where the known ones are and all of them can be.

    Raises:
        BadInput: the known ids are numbers, but a new one is none.
    """
    if ids.external.dtype.kind not in "iu":
        return list(new)
    numbers = [whole_number(text) for text in new]
    if None in numbers:
        raise BadInput(
            f"{ids.what} {new[numbers.index(None)]!r}: the {ids.what} ids of this data set are whole numbers"
        )
    return list(numbers)


def _joined(older: IdMap, newer: IdMap) -> IdMap:
    """The ids of both, the older ones first."""
    added = newer.external[older.to_internal(newer.external, unknown=-1) < 0]
    return IdMap.of([*older.external.tolist(), *added.tolist()], older.what)


def _numbers(newer: IdMap, joined: IdMap) -> Ids:
    """Number in `joined` of every id of the newer state, -1 for those left out. Shape [n]."""
    return joined.to_internal(newer.external, unknown=-1)


def _rows(number_of: Ids, size: int) -> Ids:
    """Row in the newer state of every number, -1 where it is gone. Shape [size]."""
    rows = np.full(size, -1, np.int64)
    kept = number_of >= 0
    rows[number_of[kept]] = np.flatnonzero(kept)
    return rows


def _taken(table: FeatureTable, rows: Ids) -> FeatureTable:
    values: Mapping[str, object] = {name: take_or_missing(table[name], rows) for name in table.schema.names}
    return FeatureTable(table.schema, values, len(rows))  # type: ignore[arg-type]


def _moved_versions(versions: ItemVersions, item_of: Ids) -> ItemVersions:
    item = item_of[versions.item]
    order = np.lexsort((versions.since, item))
    order = order[item[order] >= 0]
    return ItemVersions(item[order], versions.since[order], versions.features.take(order))


def _lifetimes(lifetimes: Lifetimes | None, rows: Ids) -> Lifetimes | None:
    """Items that are gone were never for sale."""
    gone: Bools = rows < 0
    if lifetimes is None:
        if not gone.any():
            return None
        return Lifetimes(np.full(len(rows), _EVER.min), np.where(gone, _EVER.min, _EVER.max))
    since = np.where(gone, _EVER.min, lifetimes.since[rows])
    return Lifetimes(since, np.where(gone, _EVER.min, lifetimes.until[rows]))
