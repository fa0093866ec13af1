"""`HybridMF`: factorisation on ids and features together, so that new items and users have vectors too."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from twotower.data.dataset import Dataset
from twotower.data.interactions import Interactions
from twotower.data.split import Split
from twotower.data.tables import FeatureTable
from twotower.features.encoded import EncodedTable
from twotower.features.encoders import FeatureEncoder
from twotower.features.profiles import ProfileLearner, Profiles
from twotower.models.factorization.entities import EntityFeatures, EntityTable, quantile_edges
from twotower.models.factorization.factors import FactorModel, Network, seen_items, seen_users
from twotower.models.factorization.pairwise import PairScorer
from twotower.models.options import at_least, count, or_none, positive, require
from twotower.types import Array, Bools, Ids


@dataclass(kw_only=True, eq=False, repr=False)
class HybridMF(FactorModel):
    """MF whose vectors are sums over features: the id itself, every categorical value, a bin of every number.

    Items bring their catalogue features (as first published), users their static ones and, with `profile_days`, the
    profile of what they touched in that many days before the event, refreshed weekly. Ids without training events have
    no embedding of their own: such an item's vector is that of its features, which is what makes this model rank new
    items. Known users are scored with the profile at the moment of the validation (of the test after the last fit).

    Relations: MF plus content; the project's hybrid baseline, in the place of the reference system's CF-CBF.

    Source: Kula 2015, "Metadata embeddings for user and item cold-start recommendations" (LightFM); weekly profiles as
    features: Kurovski 2017.

    Attributes:
        min_count: values of a categorical field seen in fewer rows say nothing.
        n_bins: bins of equal count for every number.
        profile_days: window of the users' profiles, days; None: users have static features only.
        exclude: item columns to leave out beside the title.
    """

    serves_new_items = True
    reads_users = True

    min_count: int = 2
    n_bins: int = 10
    profile_days: float | None = None
    exclude: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Refuses options out of range.

        Raises:
            BadConfig: it names the option.
        """
        require(self, min_count=count, n_bins=at_least(2), profile_days=or_none(positive))
        FactorModel.__post_init__(self)
        self.exclude = list(self.exclude)

    def _network(self, split: Split, events: Interactions) -> Network:
        data, users, items = split.dataset, seen_users(events), seen_items(events)
        encoder = self._item_encoder(data, items)
        user_encoder = FeatureEncoder.fit(data.users, np.flatnonzero(users), min_count=self.min_count)
        scorer = PairScorer(
            self._table(data.users, user_encoder, users),
            self._table(data.items, encoder, items, bias=True),
        )
        if self.profile_days is None:
            return Network(scorer)
        at = split.asked_at
        learner = ProfileLearner(window_days=self.profile_days)
        profiles = learner.fit(data, split.train, encoder, extra_moments=(at,))
        scorer.profiles = self._profile_table(profiles)
        return Network(scorer, profiles.rows(events.user, events.time), profiles.at(at))

    def _item_encoder(self, data: Dataset, seen: Bools) -> FeatureEncoder:
        """Learnt from the items with training events; a title names an item to people and is left out."""
        exclude = {*self.exclude, *((data.title,) if data.title else ())}
        return FeatureEncoder.fit(data.items, np.flatnonzero(seen), min_count=self.min_count, exclude=sorted(exclude))

    def _table(self, table: FeatureTable, encoder: FeatureEncoder, seen: Bools, *, bias: bool = False) -> EntityTable:
        """Ids of the seen rows beside the features of all."""
        encoded = encoder.transform(table)
        content = EntityFeatures.of_table(encoded, self._edges(encoded, np.flatnonzero(seen)))
        features = EntityFeatures.joined([EntityFeatures.identity(seen), content], len(seen))
        return EntityTable(features, self.dim + bias, self.seed + bias, bias=bias)

    def _profile_table(self, profiles: Profiles) -> EntityTable:
        """Row 0, the empty profile, has no features."""
        known = profiles.table.take(np.arange(1, len(profiles)))
        content = EntityFeatures.of_table(known, self._edges(known, np.arange(len(known))))
        return EntityTable(content.after_empty_row(), self.dim, self.seed + 2)

    def _edges(self, table: EncodedTable, rows: Ids) -> Array:
        return quantile_edges(table, self.n_bins, rows)
