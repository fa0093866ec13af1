"""A newer state of a data set in the numbers of an older one: known ids keep theirs, new ones follow."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from twotower.data.dataset import Dataset
from twotower.data.ids import IdMap
from twotower.data.interactions import Interactions
from twotower.data.reading.assembly import take_or_missing
from twotower.data.tables import FeatureTable
from twotower.data.versions import ItemVersions, Lifetimes
from twotower.types import Bools, Ids

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
