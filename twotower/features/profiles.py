"""The profile learner: what users touched lately becomes their features, as of weekly moments and never later."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from scipy.sparse import csr_array

from twotower.data.dataset import Dataset
from twotower.data.interactions import Interactions
from twotower.errors import BadConfig, BadInput
from twotower.features.encoded import Bags, Codes, EncodedTable, as_matrix
from twotower.features.encoders import FeatureEncoder
from twotower.features.item_states import ItemStates
from twotower.features.markov import MarkovWeights
from twotower.features.windows import DAY, MONDAY, refresh_windows
from twotower.types import UNKNOWN_USER, Array, Floats, Ids, Ragged, Times, runs

BLOCK_EVENTS = 8_000_000
"""Events (counted once per window that they are in) aggregated at once: about 0.3 GiB."""
LOG_EVENTS = "log_events"
"""Column of a profile: log(1 + number of events in its window)."""


@dataclass(frozen=True, slots=True, eq=False)
class Profiles:
    """Profiles by user and moment; row 0 is the empty profile of a user of whom nothing is known.

    A profile holds events strictly before its `as_of`, so an event at time t may be given `rows(user, t)`.

    Attributes:
        table: encoded profiles: the items' coded fields as bags, `<name>:mean`, `<name>:sd` and `log_events`. R rows.
        user: internal user id, rising; `UNKNOWN_USER` in row 0. Shape [R].
        as_of: seconds since the epoch, rising within a user; 0 in row 0. Shape [R].
        n_users: size of the user id space.
        window: age in seconds beyond which a profile is no longer used; None: never too old.
    """

    table: EncodedTable
    user: Ids
    as_of: Times
    n_users: int
    window: int | None

    def __post_init__(self) -> None:
        if not len(self.table) == len(self.user) == len(self.as_of) or not len(self.user):
            raise BadInput("Profiles: table, user and as_of must have one row each, the empty profile first")

    def __len__(self) -> int:
        return len(self.user)

    def rows(self, users: Array, times: Array | int) -> Ids:
        """The row of each user's newest profile at a moment, 0 where there is none or it is too old.

        Args:
            users: internal user ids, `UNKNOWN_USER` allowed. Shape [n].
            times: seconds since the epoch, one for each user or one for all. Shape [n].
        """
        users = np.asarray(users, np.int64)
        times = np.broadcast_to(np.asarray(times, np.int64), users.shape)
        if len(self) == 1:
            return np.zeros(len(users), np.int64)
        base = int(self.as_of[1:].min())
        width = int(self.as_of[1:].max()) - base + 2
        keys = self.user[1:] * width + (self.as_of[1:] - base + 1)
        asked = users * width + np.clip(times - base + 1, 0, width - 1)
        newest = np.searchsorted(keys, asked, side="right")
        usable = self.user[newest] == users
        if self.window is not None:
            usable &= times - self.as_of[newest] <= self.window
        return np.where(usable, newest, 0)

    def at(self, time: int) -> Ids:
        """The row of every user's newest profile at one moment. Shape [n_users]."""
        return self.rows(np.arange(self.n_users), time)

    def save(self, directory: Path) -> None:
        """`profiles.safetensors`, `moments.safetensors` and `profiles.json` in a directory that is made if needed."""
        directory.mkdir(parents=True, exist_ok=True)
        self.table.save(directory / "profiles.safetensors")
        save_file({"user": self.user, "as_of": self.as_of}, directory / "moments.safetensors")
        facts = {"n_users": self.n_users, "window": self.window}
        (directory / "profiles.json").write_text(json.dumps(facts) + "\n")

    @classmethod
    def load(cls, directory: Path, *, mapped: bool = False) -> Self:
        """Opens what `save` wrote; for `mapped` see `EncodedTable.load`."""
        facts = json.loads((directory / "profiles.json").read_text())
        moments = load_file(directory / "moments.safetensors")
        table = EncodedTable.load(directory / "profiles.safetensors", mapped=mapped)
        return cls(table, moments["user"], moments["as_of"], facts["n_users"], facts["window"])


class ProfileLearner:
    """Aggregates the features of the items that a user touched lately, weighted by kind of event.

    Coded fields become the empirical distribution of their known values (one-many), numbers the mean and the
    standard deviation (divisor: sum of weights) of their known z-values. Items count as they were when touched.

    Source: Kurovski, Deep Learning for Recommender Systems, 2017 (30 days, refreshed weekly, 2 events or more).
    """

    def __init__(
        self,
        *,
        window_days: float | None = 30,
        refresh_days: float = 7,
        min_events: int = 2,
        origin: int = MONDAY,
        weights: MarkovWeights | None = None,
    ) -> None:
        """Plain options.

        Args:
            window_days: age of the oldest event in a profile; None: all events.
            refresh_days: days between the moments at which profiles are made.
            min_events: users with fewer events in the window have no profile.
            origin: one of the refresh moments, seconds since the epoch.
            weights: how much each kind of event counts, fitted on the same events; None: all alike.
        """
        if refresh_days <= 0 or (window_days is not None and window_days <= 0) or min_events < 1:
            raise BadConfig(
                f"ProfileLearner: window_days {window_days} and refresh_days {refresh_days} must be above 0, "
                f"min_events {min_events} at least 1"
            )
        self.window_days = window_days
        self.refresh_days = refresh_days
        self.min_events = min_events
        self.origin = origin
        self.weights = weights

    def fit(
        self,
        dataset: Dataset,
        events: Interactions,
        encoder: FeatureEncoder,
        *,
        extra_moments: tuple[int, ...] = (),
    ) -> Profiles:
        """Profiles of every user at every refresh moment.

        Args:
            dataset: whose catalogue (and its versions) the events are about.
            events: the events to aggregate; events at or after a moment never enter its profiles.
            encoder: fitted on the catalogue.
            extra_moments: further moments, e.g. `holdout.at`, at which all users get a fresh profile.
        """
        window = None if self.window_days is None else round(self.window_days * DAY)
        windows = refresh_windows(
            events,
            window=window,
            refresh=max(1, round(self.refresh_days * DAY)),
            min_events=self.min_events,
            origin=self.origin,
            extra_moments=extra_moments,
        )
        states = ItemStates.of(encoder, dataset.items, dataset.versions)
        state = states.rows(events.item, events.time)
        weights = self.weights.fit(events).weights(events) if self.weights else np.ones(len(events), np.float32)
        tables = [aggregate(Ragged.empty(1), np.empty(0, np.float32), states)]
        for block in windows.blocks(BLOCK_EVENTS):
            lengths = block.stop - block.start
            chosen = runs(block.start, lengths)
            tables.append(aggregate(Ragged.from_lengths(state[chosen], lengths), weights[chosen], states))
        user = np.concatenate([[UNKNOWN_USER], windows.user])
        return Profiles(_stacked(tables), user, np.concatenate([[0], windows.as_of]), events.n_users, window)

    def profile_of(
        self,
        items: Ragged,
        states: ItemStates,
        *,
        times: Times | int | None = None,
        weights: Floats | None = None,
    ) -> EncodedTable:
        """Profiles of histories that users bring along; equal to what `fit` gives for the same events.

        Args:
            items: internal item ids of each history, oldest first. B rows.
            states: the encoded catalogue.
            times: when the items were touched, one for each or one for all; None: items as they are now.
            weights: weight of each event; None: all alike. Shape [len(items.values)].

        Returns:
            One profile per history; the empty profile where a history is shorter than `min_events`. B rows.

        Raises:
            BadInput: an item is not in the catalogue, or a weight is negative or not a number.
        """
        weights = np.ones(len(items.values), np.float32) if weights is None else np.asarray(weights, np.float32)
        enough = np.repeat(items.lengths >= self.min_events, items.lengths)
        lengths = np.where(items.lengths >= self.min_events, items.lengths, 0)
        touched = states.rows(items.values, times)[enough]
        # Only the states touched are read, so that a request does not pay for the catalogue.
        own = Ragged.from_lengths(np.arange(len(touched)), lengths)
        return aggregate(own, weights[enough], states.take(touched))


def aggregate(members: Ragged, weights: Floats, states: ItemStates) -> EncodedTable:
    """Weighted distributions, means and standard deviations of the states in each row.

    Args:
        members: rows of state numbers. B rows.
        weights: weight of each member. Shape [len(members.values)].
        states: what the members are like.
    """
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise BadInput("event weights must be finite and not negative")
    shape = (len(members), len(states))
    incidence = csr_array((weights.astype(np.float64), members.values, members.offsets), shape=shape)  # [B, S]
    codes: dict[str, Codes] = {
        name: Bags.of(incidence @ as_matrix(states.codes[name], size)) for name, size in states.sizes.items()
    }
    moments = [_mean_and_sd(incidence, states.z[:, column]) for column in range(states.z.shape[1])]
    continuous = np.hstack([*moments, np.log1p(members.lengths)[:, None]]).astype(np.float32)
    names = tuple(f"{name}:{what}" for name in states.z_names for what in ("mean", "sd"))
    return EncodedTable(states.sizes, codes, continuous, (*names, LOG_EVENTS))


def _mean_and_sd(incidence: csr_array, z: Floats) -> NDArray[np.float64]:
    """Weighted mean and standard deviation of the known values, 0 where none is known. Shape [B, 2]."""
    known = ~np.isnan(z)
    value = np.where(known, z, 0).astype(np.float64)
    total, first, second = (incidence @ np.column_stack([known, value, value**2])).T
    total[total == 0] = 1
    mean = first / total
    # The difference of two near-equal numbers can fall below 0 by a rounding error.
    variance = np.maximum(second / total - mean**2, 0)
    return np.column_stack([mean, np.sqrt(variance)])


def _stacked(tables: list[EncodedTable]) -> EncodedTable:
    first = tables[0]
    codes: dict[str, Codes] = {
        name: Bags.concatenate([bags for t in tables if isinstance(bags := t.codes[name], Bags)])
        for name in first.sizes
    }
    continuous = np.concatenate([t.continuous for t in tables])
    return EncodedTable(first.sizes, codes, continuous, first.continuous_names)
