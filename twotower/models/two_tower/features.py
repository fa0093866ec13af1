"""`TowerFeatures`: fitted encoders that turn a data set, as it stood at a moment, into the towers' inputs."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from twotower.data.dataset import Dataset
from twotower.data.interactions import Interactions
from twotower.data.tables import FeatureTable, Kind
from twotower.errors import BadConfig
from twotower.features.encoded import EncodedTable
from twotower.features.encoders import FeatureEncoder
from twotower.features.item_states import ItemStates
from twotower.features.markov import MarkovWeights
from twotower.features.profiles import ProfileLearner, Profiles
from twotower.models.two_tower.inputs import TowerInputs, number_identities, with_unknown_row
from twotower.models.two_tower.options import FeatureOptions
from twotower.types import Ids


@dataclass(frozen=True, slots=True, eq=False)
class TowerFeatures:
    """Encoders of users and items and the profile learner, fitted on training events.

    Attributes:
        options: how they were fitted.
        users: encoder of users' own features.
        items: encoder of item features.
        identities: number of each item's identity, 0 for none. Shape [N].
    """

    options: FeatureOptions
    users: FeatureEncoder
    items: FeatureEncoder
    identities: Ids

    @classmethod
    def fit(cls, dataset: Dataset, events: Interactions, options: FeatureOptions, identity_min_count: int) -> Self:
        """Learns vocabularies and statistics from the users and items of the training events."""
        at = int(events.time.max()) + 1
        _check_named(dataset, options)
        return cls(
            options,
            _fit(dataset.users, np.flatnonzero(np.bincount(events.user)), options, None),
            _fit(dataset.items_at(at), np.flatnonzero(events.item_counts()), options, dataset.title),
            number_identities(events, identity_min_count),
        )

    def learner(self) -> ProfileLearner | None:
        """The profile learner, if the options want one and items have features to learn from."""
        o = self.options
        if not o.profiles or not (self.items.coded or self.items.numbers):
            return None
        weights = MarkovWeights(o.markov_weights) if o.markov_weights else None
        return ProfileLearner(
            window_days=o.window_days, refresh_days=o.refresh_days, min_events=o.min_events, weights=weights
        )

    def training_inputs(self, dataset: Dataset, events: Interactions) -> tuple[TowerInputs, Profiles | None]:
        """Inputs with the profiles of all refresh moments; the catalogue as it stood after the last event."""
        learner = self.learner()
        profiles = learner.fit(dataset, events, self.items) if learner else None
        table = profiles.table if profiles else EncodedTable.empty(1)
        return self._inputs(dataset, int(events.time.max()) + 1, table), profiles

    def serving_inputs(self, dataset: Dataset, history: Interactions, at: int) -> TowerInputs:
        """Inputs as of a moment: profile row u belongs to user u, the last row is the empty profile."""
        learner = self.learner()
        table = EncodedTable.empty(dataset.n_users + 1)
        if learner:
            profiles = learner.fit(dataset, history, self.items, extra_moments=(at,))
            table = profiles.table.take(np.append(profiles.at(at), 0))
        return self._inputs(dataset, at, table)

    def for_items(self, n_items: int) -> "TowerFeatures":
        """The same for a catalogue of this size; items beyond those of training have no identity."""
        return replace(self, identities=np.append(self.identities, np.zeros(n_items - len(self.identities), np.int64)))

    def states(self, items: EncodedTable) -> ItemStates:
        """The encoded catalogue in the form that the profile learner aggregates."""
        numbers = [field.name for field in self.items.numbers]
        z = items.continuous[:, : len(numbers)].copy()
        for column, field in enumerate(self.items.numbers):
            if field.indicator:
                z[items.continuous[:, items.continuous_names.index(f"{field.name}?")] == 1, column] = np.nan
        sizes = {field.name: field.size for field in self.items.coded}
        return ItemStates(sizes, {name: items.codes[name] for name in sizes}, z, tuple(numbers), len(items))

    def _inputs(self, dataset: Dataset, at: int, profiles: EncodedTable) -> TowerInputs:
        return TowerInputs(
            with_unknown_row(self.users.transform(dataset.users, at)),
            profiles,
            self.items.transform(dataset.items_at(at), at),
            self.identities,
            at,
        )

    def save(self, directory: Path) -> None:
        """`users/`, `items/`, `identities.npy` and `options.json` in a directory that is made if needed."""
        directory.mkdir(parents=True, exist_ok=True)
        self.users.save(directory / "users")
        self.items.save(directory / "items")
        np.save(directory / "identities.npy", self.identities)
        (directory / "options.json").write_text(json.dumps(asdict(self.options), indent=2) + "\n")

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Opens what `save` wrote."""
        facts: dict[str, Any] = json.loads((directory / "options.json").read_text())
        options: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in facts.items()}
        return cls(
            FeatureOptions(**options),
            FeatureEncoder.load(directory / "users"),
            FeatureEncoder.load(directory / "items"),
            np.load(directory / "identities.npy", allow_pickle=False),
        )


def _fit(table: FeatureTable, rows: Ids, options: FeatureOptions, title: str | None) -> FeatureEncoder:
    names_only = {title} if title and table.schema[title].kind is Kind.TEXT else set()
    there = set(table.schema.names)
    return FeatureEncoder.fit(
        table,
        rows,
        min_count=options.min_count,
        hash_buckets=options.hash_buckets,
        exclude=sorted({*options.exclude, *names_only} & there),
        numbers=options.numbers,
        number_bins=options.number_bins,
        times=options.times,
        place_cells=options.place_cells,
        idf_from=options.idf_from,
        number_encodings={name: kind for name, kind in options.number_encodings.items() if name in there},
    )


def _check_named(dataset: Dataset, options: FeatureOptions) -> None:
    """An encoding of a column that neither users nor items have was meant for another one."""
    there = sorted({*dataset.users.schema.names, *dataset.items.schema.names})
    for name in options.number_encodings:
        if name not in there:
            raise BadConfig(f"features.number_encodings: no column {name!r}; there are {', '.join(there) or 'none'}")
