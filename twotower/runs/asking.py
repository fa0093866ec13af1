"""From what people ask in Python to queries, and from lists of internal ids to tables."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from twotower.data.arrow_tables import arrow_table
from twotower.data.ids import IdMap
from twotower.data.plain_ids import plain_id
from twotower.errors import BadConfig, BadInput
from twotower.runs.served_run import ServedRun
from twotower.stages.recommender import How, Select
from twotower.stages.selection import Selection
from twotower.types import NO_ITEM, Array, Bools, Floats, Ids, Queries, Ragged, TopK

_ONE = (str, bytes, int, float, np.generic)


def listed(ids: Any, otherwise: Array | None) -> list[Any]:
    """External ids as a list: one of them, or any column or sequence; `otherwise` where None was given.

    Raises:
        BadInput: one is missing, or is no id.
    """
    if ids is None and otherwise is not None:
        return list(otherwise.tolist())
    if isinstance(ids, _ONE) or not isinstance(ids, Iterable):
        ids = [ids]
    elif isinstance(ids, Mapping | pd.DataFrame):
        raise BadInput(f"{type(ids).__name__} given where ids are meant; give one column of ids")
    values = ids.tolist() if isinstance(ids, np.ndarray | pd.Series | pd.Index) else list(ids)
    values = [value.as_py() if hasattr(value, "as_py") else value for value in values]
    for value in values:
        if isinstance(value, list | tuple | dict | set) or value is None or plain_id(value) == "":
            raise BadInput(f"{value!r} is no id; give text or whole numbers, none missing")
    return values


def selection_of(ids: IdMap, boosts: Mapping[Any, float] | None, diversity: float, vectors: Floats | None) -> Select:
    """How candidates become lists.

    Raises:
        UnknownId: a boosted item is not in the catalogue.
        BadConfig: a boost is no finite number, or diversity is not within 0..1.
    """
    if not 0 <= diversity <= 1:
        raise BadConfig(f"diversity={diversity} must lie between 0 and 1")
    if not boosts and not diversity:
        return TopK.head
    lifted = None
    if boosts:
        lifted = np.zeros(len(ids), np.float32)
        values = np.asarray(list(dict(boosts).values()), np.float32)
        if not np.isfinite(values).all():
            raise BadConfig(f"boosts: {values[~np.isfinite(values)][0]} is no finite number")
        lifted[ids.to_internal(list(dict(boosts)))] = values
    return Selection(lifted, diversity, vectors)


def shown_lists(
    served: ServedRun,
    users: Sequence[Any],
    queries: Queries,
    k: int,
    *,
    select: Select,
    exclude: Sequence[Any] | Mapping[Any, Sequence[Any]],
    items: Sequence[Any] | Mapping[Any, Sequence[Any]] | None,
    how: Sequence[How],
) -> pd.DataFrame:
    """Lists of queries as a table, under lists of what may and may not be returned; arguments as `recommend`'s."""
    ids, everybody = served.files.item_ids, np.ones(len(served.files.item_ids), np.bool_)
    if isinstance(exclude, Mapping):
        denied = [_known(ids, () if items is None else items) for items in of_each(users, exclude, "exclude")]
        queries = replace(queries, exclusions=queries.exclusions.joined(Ragged.from_lists(denied)))
    else:
        everybody[_known(ids, exclude)] = False
    if isinstance(items, Mapping):
        top = TopK.nothing(len(users), k)
        for allowed, rows in _by_allowed(ids, users, items).items():
            mask = np.zeros(len(ids), np.bool_)
            mask[list(allowed)] = True
            part = served.recommender.recommend(
                replace(queries.take(np.asarray(rows)), allowed=mask & everybody), k, select
            )
            top.items[rows], top.scores[rows] = part.items, part.scores
    else:
        if items is not None:
            everybody &= _mask(len(ids), ids.to_internal(listed(items, None)))
        allowed_now = None if everybody.all() else everybody
        top = served.recommender.recommend(replace(queries, allowed=allowed_now), k, select)
    return _table(served, users, top, how)


def of_each(users: Sequence[Any], by_user: Mapping[Any, Any], what: str) -> list[Any]:
    """What is given for each user, by the plain form of ids; None for those who are not named.

    Raises:
        BadInput: somebody is named who is not asked for.
    """
    given = {plain_id(user): value for user, value in by_user.items()}
    asked = [plain_id(user) for user in users]
    if odd := set(given) - set(asked):
        raise BadInput(f"{what}: user {min(odd)!r} is not among the users asked for")
    return [given.get(user) for user in asked]


def pair_rows(pairs: Any) -> tuple[list[Any], list[Any]]:
    """Users and items of pairs, one of each a pair.

    Raises:
        BadInput: there are no two columns.
    """
    if isinstance(pairs, list | tuple | zip | set):
        pairs = list(pairs)
        if not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
            raise BadInput("pairs: give two columns, users and items, or tuples of two")
        pairs = pd.DataFrame(pairs, columns=["user", "item"], dtype=object)
    elif not isinstance(pairs, pd.DataFrame):
        pairs = arrow_table(pairs, "pairs").to_pandas()
    if pairs.shape[1] < 2 and len(pairs):
        raise BadInput("pairs: give two columns, users and items, or tuples of two")
    names = list(pairs.columns)
    named = ("user", "item") if {"user", "item"} <= set(names) else names[:2]
    users, items = (listed(pairs[name], None) for name in named) if len(names) > 1 else ([], [])
    return users, items


def _known(ids: IdMap, items: Any) -> Ids:
    """Internal ids of those that are in the catalogue."""
    rows: Ids = ids.to_internal(listed(items, None), unknown=NO_ITEM)
    return np.asarray(rows[rows != NO_ITEM])


def _by_allowed(ids: IdMap, users: Sequence[Any], items: Mapping[Any, Any]) -> dict[frozenset[int], list[int]]:
    """Rows of the users by what they may get; users who are not named may get everything."""
    groups: dict[frozenset[int], list[int]] = {}
    every = frozenset(range(len(ids)))
    for row, own in enumerate(of_each(users, items, "items")):
        named = every if own is None else frozenset(ids.to_internal(listed(own, None)).tolist())
        groups.setdefault(named, []).append(row)
    return groups


def _mask(size: int, rows: Ids) -> Bools:
    mask = np.zeros(size, np.bool_)
    mask[rows] = True
    return mask


def _table(served: ServedRun, users: Sequence[Any], top: TopK, how: Sequence[How]) -> pd.DataFrame:
    there = top.items != NO_ITEM
    rows, places = np.nonzero(there)
    items = top.items[there]
    asked = np.empty(len(users), object)
    asked[:] = users
    columns: dict[str, Any] = {
        "user": pd.Series(asked[rows]).infer_objects(),
        "item": served.files.item_ids.to_external(items),
        "rank": places + 1,
        "score": top.scores[there],
    }
    if served.files.title is not None:
        distinct, at = np.unique(items, return_inverse=True)
        columns["title"] = np.asarray([served.title_of(int(item)) for item in distinct], object)[at]
    columns["how"] = np.asarray(how, object)[rows]
    return pd.DataFrame(columns)
