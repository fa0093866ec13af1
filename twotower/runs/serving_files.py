"""`ServingFiles`: what a run keeps of its data set to answer with: ids, catalogue, histories, popularity."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from twotower.data.dataset import Dataset, Lifetimes
from twotower.data.ids import IdMap
from twotower.data.interactions import Interactions
from twotower.data.tables import FeatureTable
from twotower.errors import BundleError
from twotower.types import UNKNOWN_USER, Array, Bools, Floats, Ids, Queries, Ragged

_MORE = ("disliked", "disliked_offsets", "recognised", "popularity_then", "times")


@dataclass(frozen=True, slots=True, eq=False)
class ServingFiles:
    """The data side of a run directory.

    Attributes:
        name: name of the data set.
        user_ids: external user ids.
        item_ids: external item ids.
        catalogue: item features as they stood at `at`. N rows.
        histories: internal item ids per user, oldest first: positive events. n_users rows.
        exclusions: internal item ids per user that are not recommended again: all events as read. n_users rows.
        popularity: events per item. float32. Shape [N].
        at: moment of the newest event, seconds since the epoch.
        lifetimes: when items were for sale, if known.
        title: item column that names an item to people.
        disliked: internal item ids per user that never come back, not even where seen items may. n_users rows.
        recognised: users whom the model knows by their id: those with events when it stood ready, or with features that
            it reads; the others are served from their histories. None: all. Shape [n_users].
        popularity_then: events per item at the moment for which the model was fitted, which evaluations must not pass;
            None: as `popularity`. Shape [N].
        times: when the events of the histories happened, seconds since the epoch; None in runs of before. n_users rows.
    """

    name: str
    user_ids: IdMap
    item_ids: IdMap
    catalogue: FeatureTable
    histories: Ragged
    exclusions: Ragged
    popularity: Floats
    at: int
    lifetimes: Lifetimes | None = None
    title: str | None = None
    disliked: Ragged | None = None
    recognised: Bools | None = None
    popularity_then: Floats | None = None
    times: Ragged | None = None

    def __post_init__(self) -> None:
        sizes = {
            "users": (len(self.user_ids), len(self.histories), len(self.exclusions)),
            "items": (len(self.item_ids), len(self.catalogue), len(self.popularity)),
        }
        for what, counts in sizes.items():
            if len(set(counts)) > 1:
                raise BundleError(f"serving files of {self.name}: {what} counted differently: {counts}; train again")
        for name in ("popularity", "popularity_then"):
            value = getattr(self, name)
            if value is not None and (value.shape != (len(self.item_ids),) or value.dtype.kind != "f"):
                raise BundleError(f"serving files of {self.name}: {name} is no number for each item; train again")

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        history: Interactions,
        exclusions: Interactions | None = None,
        *,
        then: Interactions | None = None,
        described: Bools | None = None,
    ) -> Self:
        """Takes from a data set what serving needs.

        Args:
            dataset: users, catalogue, lifetimes.
            history: the events that queries may show to the towers.
            exclusions: events whose items are not recommended again to the same user; None: those of `history`.
            then: events that the model knew when it stood ready; None: those of `history`.
            described: users whom the model knows by their features alone; None: nobody. Shape [n_users].
        """
        seen = (history if exclusions is None else exclusions).unique_pairs()
        at = max((int(events.time.max()) for events in (history, seen) if len(events)), default=0)
        recognised = None if then is None else np.bincount(then.user, minlength=then.n_users) > 0
        if recognised is not None and described is not None:
            recognised |= described
        return cls(
            dataset.name, dataset.user_ids, dataset.item_ids, dataset.items_at(at), history.by_user(), seen.by_user(),
            history.item_counts().astype(np.float32), at, dataset.lifetimes, dataset.title,
            None if dataset.disliked is None else dataset.disliked.unique_pairs().by_user(), recognised,
            None if then is None else then.item_counts().astype(np.float32),
            Ragged(history.time, history.offsets),
        )  # fmt: skip

    def queries(self, users: Ids, given: Ragged | None = None, *, exclude_seen: bool = True) -> Queries:
        """Queries of internal users; a given history follows the known one and is excluded like it.

        Args:
            users: internal ids, `UNKNOWN_USER` allowed. Shape [B].
            given: internal item ids that the caller adds, oldest first. B rows.
            exclude_seen: whether items seen before may not come back; disliked ones never do.

        Returns:
            Queries in which users whom the model does not know by id are `UNKNOWN_USER`.
        """
        given = Ragged.empty(len(users)) if given is None else given
        history = _rows(self.histories, users).joined(given)
        excluded = _rows(self.exclusions, users).joined(given) if exclude_seen else Ragged.empty(len(users))
        if not exclude_seen and self.disliked is not None:
            excluded = _rows(self.disliked, users)
        times = None
        if self.times is not None:  # what is given has just happened
            times = _rows(self.times, users).joined(Ragged(np.full(len(given.values), self.at), given.offsets))
        if self.recognised is not None:
            users = np.where(self.recognised[users] & (users != UNKNOWN_USER), users, UNKNOWN_USER)
        return Queries(users, history, excluded, times=times)

    def save(self, directory: Path) -> None:
        """Parquet, npy and JSON files in an existing directory."""
        self.user_ids.save(directory / "user_ids.parquet")
        self.item_ids.save(directory / "item_ids.parquet")
        self.catalogue.save(directory / "catalogue.parquet")
        arrays: dict[str, Any] = self._more_arrays()
        np.savez(
            directory / "histories.npz",
            items=self.histories.values.astype(np.int32), offsets=self.histories.offsets,
            excluded=self.exclusions.values.astype(np.int32), excluded_offsets=self.exclusions.offsets,
            **arrays,
        )  # fmt: skip
        np.save(directory / "popularity.npy", self.popularity)
        if self.lifetimes:
            spans = {"since": self.lifetimes.since, "until": self.lifetimes.until}
            pd.DataFrame(spans).to_parquet(directory / "lifetimes.parquet")
        (directory / "schema.json").write_text(json.dumps(self._facts(), indent=2) + "\n")

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Opens what `save` wrote."""
        facts = json.loads((directory / "schema.json").read_text())
        with np.load(directory / "histories.npz", allow_pickle=False) as arrays:
            histories = Ragged(arrays["items"].astype(np.int64), arrays["offsets"])
            exclusions = Ragged(arrays["excluded"].astype(np.int64), arrays["excluded_offsets"])
            more = {name: arrays[name] for name in _MORE if name in arrays}
        lifetimes = None
        if facts["lifetimes"]:
            spans = pd.read_parquet(directory / "lifetimes.parquet")
            lifetimes = Lifetimes(spans["since"].to_numpy(), spans["until"].to_numpy())
        return cls(
            facts["name"],
            IdMap.load(directory / "user_ids.parquet", "user"),
            IdMap.load(directory / "item_ids.parquet", "item"),
            FeatureTable.load(directory / "catalogue.parquet"),
            histories,
            exclusions,
            np.load(directory / "popularity.npy", allow_pickle=False),
            facts["at"],
            lifetimes,
            facts["title"],
            Ragged(more["disliked"].astype(np.int64), more["disliked_offsets"]) if "disliked" in more else None,
            more.get("recognised"),
            more.get("popularity_then"),
            Ragged(more["times"], histories.offsets) if "times" in more else None,
        )

    def _more_arrays(self) -> dict[str, Array]:
        """What only newer runs have, and only where there is something to say."""
        arrays: dict[str, Array] = {}
        if self.disliked is not None:
            arrays |= {"disliked": self.disliked.values.astype(np.int32), "disliked_offsets": self.disliked.offsets}
        if self.recognised is not None:
            arrays["recognised"] = self.recognised
        if self.popularity_then is not None:
            arrays["popularity_then"] = self.popularity_then
        if self.times is not None:
            arrays["times"] = self.times.values
        return arrays

    def _facts(self) -> dict[str, object]:
        return {
            "name": self.name,
            "users": len(self.user_ids),
            "items": len(self.item_ids),
            "at": self.at,
            "title": self.title,
            "lifetimes": self.lifetimes is not None,
            "columns": [{"name": c.name, "kind": c.kind.value} for c in self.catalogue.schema.columns],
        }


def write_serving_files(
    directory: Path,
    dataset: Dataset,
    history: Interactions,
    exclusions: Interactions | None = None,
    *,
    then: Interactions | None = None,
    described: Bools | None = None,
) -> ServingFiles:
    """Writes the data side of a run directory and returns it; arguments as `ServingFiles.of`."""
    files = ServingFiles.of(dataset, history, exclusions, then=then, described=described)
    files.save(directory)
    return files


def _rows(table: Ragged, users: Ids) -> Ragged:
    """Rows of known users, empty rows of unknown ones."""
    known = users != UNKNOWN_USER
    lengths = np.zeros(len(users), np.int64)
    taken = table.take(users[known])
    lengths[known] = taken.lengths
    return Ragged.from_lengths(taken.values, lengths)
