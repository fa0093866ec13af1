"""`LightFMWarp` and `LightFMHybrid`: LightFM's WARP on ids alone, and on ids and features, trained by its own code."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from twotower.data.dataset import Dataset
from twotower.data.interactions import Interactions
from twotower.data.split import Split
from twotower.data.tables import FeatureTable
from twotower.features.encoders import FeatureEncoder
from twotower.features.profiles import ProfileLearner
from twotower.models.factorization.entities import EntityFeatures, quantile_edges
from twotower.models.factorization.factors import seen_items, seen_users
from twotower.models.matrix import Sparse, pair_matrix
from twotower.models.options import at_least, count, or_none, positive, require
from twotower.models.peers.factors import AfterEpoch, PeerFactors
from twotower.models.peers.library import as_csr, one_blas_thread, require_library, thread_count
from twotower.types import Bools, Floats, Ids


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """What LightFM is given.

    Attributes:
        events: which row of `learning` liked which item. Shape [R, N].
        learning: features of those who learn: a row per user, or per user and profile. Shape [R, F].
        serving: features of every user when asked. Shape [U, F].
        items: features of every item. Shape [N, G].
    """

    events: sparse.coo_matrix
    learning: sparse.csr_matrix
    serving: sparse.csr_matrix
    items: sparse.csr_matrix


@dataclass(kw_only=True, eq=False, repr=False)
class LightFMWarp(PeerFactors):
    """LightFM with WARP on ids: a vector and a bias per user and item, trained by Adagrad, popular negatives.

    Ids without training events get no feature: LightFM would leave them at random vectors that are never trained. A
    user's bias would not change the user's order and is left out of scores. With several threads LightFM's updates race
    each other, so that one seed gives slightly different models; with one thread a seed gives one model.

    Relations: our MF with loss=warp.

    Source: Kula 2015, "Metadata embeddings for user and item cold-start recommendations" (the library LightFM; here its
    maintained form lightfm-next); Weston, Bengio & Usunier 2011, "WSABIE".

    Attributes:
        n_negatives: `max_sampled`, draws per positive at most.
        l2: `item_alpha` and `user_alpha`.
    """

    n_negatives: int = 10
    l2: float = 0.00001

    def __post_init__(self) -> None:
        """Refuses options out of range, and to go on without the library.

        Raises:
            BadConfig: it names the option, or the library.
        """
        require_library("lightfm", "lightfm-next")
        require(self, n_negatives=count)
        PeerFactors.__post_init__(self)

    def _design(self, split: Split, events: Interactions) -> Design:
        users, items = EntityFeatures.identity(seen_users(events)), EntityFeatures.identity(seen_items(events))
        rows = as_csr(_matrix(users))
        return Design(as_csr(pair_matrix(events)).tocoo(), rows, rows, as_csr(_matrix(items)))

    def _train(self, split: Split, events: Interactions, after_epoch: AfterEpoch) -> None:
        from lightfm import LightFM

        design = self._design(split, events)
        library = LightFM(
            no_components=self.dim, loss="warp", learning_rate=self.lr, max_sampled=self.n_negatives,
            item_alpha=self.l2, user_alpha=self.l2, random_state=self.seed,
        )  # fmt: skip
        with one_blas_thread():
            for _ in range(self.epochs):
                library.fit_partial(
                    design.events, design.learning, design.items, num_threads=thread_count(self.threads)
                )
                after_epoch(*_vectors(library, design))


@dataclass(kw_only=True, eq=False, repr=False)
class LightFMHybrid(LightFMWarp):
    """LightFM with WARP on ids and features: those of our `HybridMF`, coded the same way.

    With `profile_days` a user learns once per weekly profile, as the hybrid baseline of the published system did: a row
    of LightFM's is a user at a time, whose features are the user's own and those of the profile.

    Relations: our HybridMF.

    Source: as `LightFMWarp`; weekly profiles as features: Kurovski 2017.

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
        """Refuses options out of range, and to go on without the library.

        Raises:
            BadConfig: it names the option, or the library.
        """
        require(self, min_count=count, n_bins=at_least(2), profile_days=or_none(positive))
        LightFMWarp.__post_init__(self)
        self.exclude = list(self.exclude)

    def _design(self, split: Split, events: Interactions) -> Design:
        data, known_users, known_items = split.dataset, seen_users(events), seen_items(events)
        encoder = self._item_encoder(data, known_items)
        user_encoder = FeatureEncoder.fit(data.users, np.flatnonzero(known_users), min_count=self.min_count)
        users = self._features(data.users, user_encoder, known_users)
        items = as_csr(_matrix(self._features(data.items, encoder, known_items)))
        if self.profile_days is None:
            rows = as_csr(_matrix(users))
            return Design(as_csr(pair_matrix(events)).tocoo(), rows, rows, items)
        return self._with_profiles(split, events, encoder, _matrix(users), items)

    def _item_encoder(self, data: Dataset, seen: Bools) -> FeatureEncoder:
        """Learnt from the items with training events, without the title."""
        exclude = {*self.exclude, *((data.title,) if data.title else ())}
        return FeatureEncoder.fit(data.items, np.flatnonzero(seen), min_count=self.min_count, exclude=sorted(exclude))

    def _features(self, table: FeatureTable, encoder: FeatureEncoder, seen: Bools) -> EntityFeatures:
        """Ids of the seen rows beside the features of all."""
        encoded = encoder.transform(table)
        content = EntityFeatures.of_table(encoded, quantile_edges(encoded, self.n_bins, np.flatnonzero(seen)))
        return EntityFeatures.joined([EntityFeatures.identity(seen), content], len(seen))

    def _with_profiles(
        self, split: Split, events: Interactions, encoder: FeatureEncoder, users: Sparse, items: sparse.csr_matrix
    ) -> Design:
        """A row for every user and profile that learn together."""
        at = split.asked_at
        learner = ProfileLearner(window_days=self.profile_days)
        profiles = learner.fit(split.dataset, split.train, encoder, extra_moments=(at,))
        known = profiles.table.take(np.arange(1, len(profiles)))  # row 0 is the empty profile
        edges = quantile_edges(known, self.n_bins, np.arange(len(known)))
        content = _matrix(EntityFeatures.of_table(known, edges).after_empty_row())
        pairs, row = np.unique(
            np.stack([events.user.astype(np.int64), profiles.rows(events.user, events.time)]), axis=1,
            return_inverse=True,
        )  # fmt: skip
        liked = (np.ones(len(events), np.float32), (row.ravel(), events.item))
        return Design(
            sparse.coo_matrix(liked, shape=(pairs.shape[1], events.n_items)),
            _beside(users, pairs[0], content, pairs[1]),
            _beside(users, np.arange(users.shape[0]), content, profiles.at(at)),
            items,
        )


def _matrix(features: EntityFeatures) -> Sparse:
    """Weights of entities by feature; at least one column. Shape [n, F]."""
    codes = features.bags.codes
    shape = (len(features), max(1, features.size))
    return sparse.coo_array((features.bags.weights, (codes.row_ids(), codes.values)), shape=shape).tocsr()


def _beside(users: Sparse, user_rows: Ids, profiles: Sparse, profile_rows: Ids) -> sparse.csr_matrix:
    """EntityFeatures of users and of profiles next to each other, row by row."""
    return as_csr(sparse.hstack([users[user_rows], profiles[profile_rows]], format="csr"))


def _vectors(library: Any, given: Design) -> tuple[Floats, Floats]:
    """Vectors of users [U, D] and of items with their bias [N, D + 1]."""
    _, users = library.get_user_representations(given.serving)
    biases, items = library.get_item_representations(given.items)
    return np.asarray(users), np.column_stack([items, biases])
