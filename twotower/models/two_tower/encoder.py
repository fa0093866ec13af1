"""`TowerEncoder`: the trained towers at work: queries to user vectors, the catalogue to item vectors."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from twotower.data.tables import FeatureTable
from twotower.features.encoded import EncodedTable
from twotower.models.two_tower.features import TowerFeatures
from twotower.models.two_tower.inputs import TowerInputs
from twotower.models.two_tower.networks import JointModel
from twotower.models.two_tower.user_net import UserInputs
from twotower.nn.tensors import FeatureTensors
from twotower.types import NO_ITEM, UNKNOWN_USER, Floats, Ids, Queries, Ragged

BLOCK = 512
"""Queries encoded at once."""


@dataclass(frozen=True, slots=True, eq=False)
class UserStates:
    """What RankNet needs of B queries: unit vectors [B, D] and the users' share of the wide part [B]."""

    vectors: Tensor
    wide: Tensor


class TowerEncoder:
    """UserNet and ItemNet over one state of the data; answers are the same for any block size.

    A known user has a profile as of the serving moment; an unknown one gets a profile from the history that the query
    brings. Repeated items of a history count once, at their first place, as in training; `NO_ITEM` counts as nothing.

    Args:
        model: trained networks, in evaluation mode.
        features: fitted encoders.
        inputs: encoded data; profile row u belongs to user u, the last row is the empty profile.
        history_length: most recent items that UserNet reads.
        device: where to compute.
        item_vectors: unit vectors of the catalogue if they are known already. Shape [N, D].
    """

    def __init__(
        self,
        *,
        model: JointModel,
        features: TowerFeatures,
        inputs: TowerInputs,
        history_length: int,
        device: torch.device,
        item_vectors: Floats | None = None,
    ) -> None:
        self.model = model
        self.inputs = inputs
        self.device_inputs = inputs.to(device)
        self.device = device
        self._history_length = history_length
        self._features = features
        self._learner = features.learner()
        self._states = features.states(inputs.items) if self._learner else None
        vectors = model.encode_catalogue(self.device_inputs) if item_vectors is None else torch.tensor(item_vectors)
        self.items = vectors.to(device)
        own = model.history_net is not None
        self._history_items = model.encode_history_catalogue(self.device_inputs) if own else self.items
        self._last: tuple[Queries, UserStates] | None = None

    @property
    def item_vectors(self) -> Floats:
        """Unit vectors of the catalogue. Shape [N, D]."""
        vectors: Floats = self.items.float().cpu().numpy()
        return vectors

    def user_vectors(self, queries: Queries) -> Floats:
        """Unit vectors of the queries' users. Shape [B, D]."""
        vectors: Floats = self.encode(queries).vectors.float().cpu().numpy()
        return vectors

    @property
    def item_columns(self) -> tuple[str, ...]:
        """Names of the item features that ItemNet reads."""
        return self._features.items.columns

    @torch.inference_mode()
    def embed(self, items: FeatureTable, known: Ids) -> Floats:
        """Unit vectors of items by their features, whether training has seen them or not. Shape [n, D].

        Args:
            items: with the columns `item_columns`. n rows.
            known: internal ids, `NO_ITEM` for items that are new: they have no identity. Shape [n].
        """
        identities = np.where(known == NO_ITEM, 0, self._features.identities[known])
        features = FeatureTensors.of(self._features.items.transform(items, self.inputs.at), self.device)
        vectors: Floats = self.model.item_net(features, self._tensor(identities)).float().cpu().numpy()
        return vectors

    @torch.inference_mode()
    def encode(self, queries: Queries) -> UserStates:
        """Runs UserNet; the newest answer is kept, since the ranker asks again what the retriever just asked."""
        last = self._last
        if last is not None and last[0] is queries:
            return last[1]
        blocks = [self._encode(block) for block in queries.blocks(BLOCK)]
        dim = self.items.shape[1]
        states = UserStates(
            torch.cat([b.vectors for b in blocks]) if blocks else torch.zeros(0, dim, device=self.device),
            torch.cat([b.wide for b in blocks]) if blocks else torch.zeros(0, device=self.device),
        )
        self._last = (queries, states)
        return states

    def _encode(self, queries: Queries) -> UserStates:
        """One block: known users by their stored profile, unknown ones by a profile made from their history."""
        queries = replace(queries, histories=queries.histories.known())
        own = (queries.users == UNKNOWN_USER) & (queries.histories.lengths > 0)
        if self._learner is None or not own.any():
            return self._run(queries, self.inputs.profiles.take(self._profile_rows(queries.users)))
        vectors = torch.empty(len(queries), self.items.shape[1], device=self.device)
        wide = torch.empty(len(queries), device=self.device)
        for rows, profiles in (
            (np.flatnonzero(~own), self.inputs.profiles.take(self._profile_rows(queries.users[~own]))),
            (np.flatnonzero(own), self._profiles_of(queries.histories.take(np.flatnonzero(own)))),
        ):
            if len(rows):
                states = self._run(queries.take(rows), profiles)
                where = torch.as_tensor(rows, device=self.device)
                vectors[where], wide[where] = states.vectors, states.wide
        return UserStates(vectors, wide)

    def _run(self, queries: Queries, profiles: EncodedTable) -> UserStates:
        static = self.device_inputs.users.take(self._tensor(self.inputs.user_rows(queries.users)))
        profile = FeatureTensors.of(profiles, self.device)
        read = self._history_length - 1 if self.model.user_net.history is not None else 0
        history = queries.histories.first_occurrences().last(read)
        longest = int(history.lengths.max(initial=0))
        items = np.maximum(history.padded(longest), 0)
        rows = torch.arange(len(queries), device=self.device)
        inputs = UserInputs(
            static,
            profile,
            rows[:, None].expand(-1, longest + 1),
            F.embedding(self._tensor(items), self._history_items),
        )
        at_end = self.model.user_net(inputs)[rows, self._tensor(history.lengths)]
        return UserStates(at_end.float(), self.model.wide_users(static, profile).float())

    def _profiles_of(self, histories: Ragged) -> EncodedTable:
        assert self._learner is not None
        assert self._states is not None
        return self._learner.profile_of(histories, self._states)

    def _profile_rows(self, users: Ids) -> Ids:
        return np.where(users < 0, len(self.inputs.profiles) - 1, users)

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, device=self.device)
