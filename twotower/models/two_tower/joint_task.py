"""`JointTask`: one training step of UserNet, ItemNet and RankNet together, term by term."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from twotower.data.interactions import Interactions
from twotower.models.two_tower.examples import Candidates, Examples
from twotower.models.two_tower.hard_negatives import hard_negatives, log_draw_rate
from twotower.models.two_tower.inputs import TowerInputs
from twotower.models.two_tower.networks import JointModel
from twotower.models.two_tower.objective import Objective, preference_loss, retrieval_loss, similarity_loss
from twotower.models.two_tower.user_net import UserInputs
from twotower.nn.device import autocast
from twotower.nn.distributed import ALONE, Workers, gather_rows, sum_over
from twotower.nn.full_softmax import full_softmax_loss
from twotower.nn.losses import scale_gradient
from twotower.nn.packed import Features
from twotower.nn.sharded_tables import shards_of
from twotower.training.batch_shard import BatchShard
from twotower.training.batches import WindowBatch, WindowBatches
from twotower.training.negatives import NegativeSampler, expected_counts
from twotower.types import Floats, Ids, Ragged, Times


class JointTask:
    """A `training.task.Task`: preference + similarity + retrieval over windows of events.

    Args:
        model: the three networks.
        inputs: encoded features.
        events: training events.
        batches: cuts them into windows.
        objective: which losses count, and how much.
        samplers: one per kind in `objective.negatives` other than "hard".
        profile_rows: users and times to rows of `inputs.profiles`; None: the empty profile for all.
        raw_cosine: rows of profiles and items to the raw vectors' cosine, for `similarity="raw"`.
        optimizers: of the model's parameters.
        device: where to compute.
        workers: processes among which every batch is shared; the loss is the sum of what they give.
    """

    def __init__(
        self,
        *,
        model: JointModel,
        inputs: TowerInputs,
        events: Interactions,
        batches: WindowBatches,
        objective: Objective,
        samplers: dict[str, NegativeSampler],
        profile_rows: Callable[[Ids, Times], Ids] | None,
        raw_cosine: Callable[[Ids, Ids], Floats] | None,
        optimizers: list[torch.optim.Optimizer],
        device: torch.device,
        workers: Workers = ALONE,
    ) -> None:
        self.module = model
        self.optimizers = optimizers
        self._model = model
        self._alone = model.user_net.history is None  # then every position is an example of its own
        packs = (
            self._alone and device.type == "cpu" and not shards_of(model)
        )  # one product needs the whole of each table
        self._inputs = inputs.packed() if packs else inputs.to(device)
        self._objective = objective
        self._batches = batches
        self._samplers = samplers
        self._event_profiles = None if profile_rows is None else profile_rows(events.user.astype(np.int64), events.time)
        self._raw_cosine = raw_cosine
        self._device = device
        self._peers = workers
        self._n_items = events.n_items
        self._known: Ragged = events.by_user()
        self._item_counts = events.item_counts()
        self._n_draws = objective.n_candidates(events.n_items)
        self._full = objective.retrieval_weight > 0 and self._n_draws is None
        self._index = torch.empty(0)

    def n_batches(self, epoch: int) -> int:
        """Batches of an epoch."""
        return self._batches.n_batches(epoch)

    def start_epoch(self, epoch: int, kept: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The catalogue's vectors, to take hard negatives from, where a step does not embed it anyway."""
        if "hard" not in self._objective.negatives or self._full:
            return {}
        self._index = kept["index"] if kept else self._model.encode_catalogue(self._inputs).clone()
        self._index = self._index.to(self._device)
        return {"index": self._index}

    def batches(self, epoch: int, start: int) -> Iterator[tuple[int, Callable[[], tuple[Tensor, dict[str, float]]]]]:
        """See `training.task.Task.batches`."""
        for number, batch in enumerate(self._batches.epoch(epoch, start), start):
            rng = np.random.default_rng((self._batches.seed, epoch, number))
            yield int(batch.mask.sum()), lambda batch=batch, rng=rng: self._loss(batch, rng)  # type: ignore[misc]

    def _loss(self, batch: WindowBatch, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """The weighted sum of the objective's terms, and each term for the log: this process's share of them."""
        o = self._objective
        share, windows = BatchShard.of(batch, self._peers)
        with autocast(self._device):
            catalogue = self._encode_together(np.arange(self._n_items)) if self._full else None
            positions = self._positions(batch.take(windows), catalogue)
            terms: dict[str, tuple[float, Tensor]] = {}
            if o.retrieval_weight:
                terms["retrieval"] = (o.retrieval_weight, self._retrieval(positions, share, catalogue, rng))
            if o.preference_weight or o.similarity:
                ranked, own = share.some(self._some(len(share), rng))
                chosen = positions if len(own) == len(positions) else positions.take(own)
                items, border = self._with_negatives(chosen, ranked, catalogue, rng)
                candidates = self._candidates(items, catalogue)
                if o.preference_weight:
                    preference = self._preference(chosen, candidates, border) * ranked.weight
                    terms["preference"] = (o.preference_weight, preference)
                if o.similarity:
                    terms["similarity"] = (o.similarity_weight, self._similarity(chosen, candidates, ranked.weight))
        loss = torch.stack([weight * term.float() for weight, term in terms.values()]).sum()
        return loss, {name: float(term.detach()) for name, (_, term) in terms.items()}

    # Encoding

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, device=self._device)

    def _encode(self, items: Ids) -> Tensor:
        return self._model.encode_items(self._inputs, self._tensor(items))

    def _encode_together(self, items: Ids) -> Tensor:
        """Vectors of items that all processes need: each encodes a part of them."""
        return gather_rows(self._peers, self._encode(self._peers.block(items)))

    def _lookup(self, items: Ids, catalogue: Tensor | None) -> Tensor:
        """Vectors of item ids of any shape: from the catalogue if it is encoded, else each distinct item once."""
        if catalogue is not None:
            return F.embedding(self._tensor(items), catalogue)
        unique, where = np.unique(items, return_inverse=True)
        return F.embedding(self._tensor(where.reshape(items.shape)), self._encode(unique))

    def _read(self, items: Ids) -> Tensor:
        """What UserNet reads of the items of histories, each distinct one encoded once."""
        unique, where = np.unique(items, return_inverse=True)
        vectors = self._model.encode_history_items(self._inputs, self._tensor(unique))
        return F.embedding(self._tensor(where.reshape(items.shape)), vectors)

    def _candidates(self, items: Ids, catalogue: Tensor | None) -> Candidates:
        """As `_lookup`, with the features, each distinct item's taken once."""
        unique, where = np.unique(items, return_inverse=True)
        places, ids = self._tensor(where.reshape(items.shape)), self._tensor(unique)
        features = self._inputs.items.take(ids)
        if catalogue is not None:
            return Candidates(items, F.embedding(self._tensor(items), catalogue), features, places)
        vectors = self._model.item_net(features, self._inputs.identities[ids])
        return Candidates(items, F.embedding(places, vectors), features, places)

    def _positions(self, batch: WindowBatch, catalogue: Tensor | None) -> Examples:
        """Encodes the users of a batch at all positions and keeps the real ones."""
        mask = batch.mask
        users = np.broadcast_to(batch.users[:, None], mask.shape)
        windows = np.broadcast_to(np.arange(len(mask))[:, None], mask.shape)[mask]
        rows = np.zeros(mask.shape, np.int64)
        if self._event_profiles is not None:
            rows[mask] = self._event_profiles[batch.rows[mask]]
        chosen = users[mask], batch.targets[mask], batch.times[mask], windows, rows[mask]
        if not self._alone:
            return Examples(*chosen, self._at_positions(batch, rows, catalogue)[self._tensor(mask)])
        features = self._features(users[mask], rows[mask])
        none = features[1].continuous.new_zeros(len(windows), 0, self._model.user_net.dim)
        return Examples(*chosen, self._model.user_net(UserInputs(*features, None, none))[:, 0], features)

    def _features(self, users: Ids, profile_rows: Ids) -> tuple[Features, Features]:
        """Own features and profiles of P users. P rows each."""
        return self._inputs.users.take(self._tensor(users)), self._inputs.profiles.take(self._tensor(profile_rows))

    def _at_positions(self, batch: WindowBatch, rows: Ids, catalogue: Tensor | None) -> Tensor:
        """The users of windows with the profiles `rows` [W, T] and what came before in the window. Shape [W, T, D]."""
        unique_rows, local = np.unique(rows, return_inverse=True)
        history = np.maximum(batch.targets[:, :-1], 0)  # what stands for padding is seen by padding only
        inputs = UserInputs(
            self._inputs.users.take(self._tensor(batch.users)),
            self._inputs.profiles.take(self._tensor(unique_rows)),
            self._tensor(local.reshape(rows.shape)),
            self._lookup(history, catalogue) if self._model.history_net is None else self._read(history),
        )
        vectors: Tensor = self._model.user_net(inputs)
        return vectors

    # Terms

    def _retrieval(
        self, positions: Examples, share: BatchShard, catalogue: Tensor | None, rng: np.random.Generator
    ) -> Tensor:
        """Softmax over the whole catalogue, or over the positives of the whole batch mixed with uniform draws."""
        temperature = self._objective.temperature
        if catalogue is not None:
            target = self._tensor(positions.items)
            return full_softmax_loss(positions.vectors, catalogue, target, temperature) * share.weight
        assert self._n_draws is not None
        drawn = rng.integers(0, self._n_items, self._n_draws)
        candidates = np.unique(np.concatenate([share.items, drawn]))
        column = np.searchsorted(candidates, positions.items)
        counts = expected_counts(self._item_counts, len(share), self._n_draws)[candidates]
        hits = np.zeros((positions.windows[-1] + 1, len(candidates)), bool)
        hits[positions.windows, column] = True
        cosine = positions.vectors @ self._encode_together(candidates).T
        loss = retrieval_loss(
            cosine,
            self._tensor(column),
            temperature=temperature,
            expected_count=self._tensor(counts),
            hits=self._tensor(hits)[self._tensor(positions.windows)],
        )
        return loss * share.weight

    def _preference(self, chosen: Examples, candidates: Candidates, border: Tensor | None) -> Tensor:
        """RankNet's loss on each position's positive (column 0) against its negatives."""
        o = self._objective
        users, items = (scale_gradient(x, o.tower_share) for x in (chosen.vectors, candidates.vectors))
        wide = self._model.wide_shares(candidates.distinct)[candidates.where] + self._wide_users(chosen)[:, None]
        logits = self._model.rank_net(users, items, wide).float()
        if o.preference == "softmax" and border is not None and set(o.negatives) == {"hard", "uniform"}:
            logits = logits - log_draw_rate(
                (chosen.vectors[:, None] * candidates.vectors).sum(-1),
                border,
                n_hard=o.n_hard,
                drawn_hard=o.shares()["hard"],
                n_items=self._n_items,
                drawn_uniform=o.shares()["uniform"],
            )
        return preference_loss(o.preference, logits[:, 0], logits[:, 1:])

    def _wide_users(self, chosen: Examples) -> Tensor:
        return self._model.wide_users(*(chosen.features or self._features(chosen.users, chosen.profile_rows)))

    def _similarity(self, chosen: Examples, candidates: Candidates, weight: float) -> Tensor:
        """The regulariser on the same pairs."""
        assert self._objective.similarity is not None
        items = candidates.items
        cosine = (chosen.vectors[:, None] * candidates.vectors).sum(-1)
        if self._objective.similarity == "affine":
            return similarity_loss("affine", cosine, None) * weight
        raw = None
        if self._raw_cosine is not None:
            rows = np.repeat(chosen.profile_rows, items.shape[1])
            raw = self._tensor(self._raw_cosine(rows, items.ravel()).reshape(items.shape))
        # The root of the whole batch's mean is no mean of roots: all processes form it, and each counts a part of it.
        loss = similarity_loss("raw", cosine, raw, mean=lambda part: sum_over(self._peers, part.mean() * weight))
        return loss / self._peers.size

    # Negatives

    def _some(self, n: int, rng: np.random.Generator) -> Ids:
        """Rows of the positions on which RankNet is trained."""
        most = self._objective.rank_positions
        return np.arange(n) if most is None or most >= n else np.sort(rng.choice(n, most, replace=False))

    def _with_negatives(
        self, chosen: Examples, share: BatchShard, catalogue: Tensor | None, rng: np.random.Generator
    ) -> tuple[Ids, Tensor | None]:
        """The positive and its negatives [P, 1 + n], and the cosine from which an item is a hard one [P]."""
        columns, border = [chosen.items[:, None]], None
        for kind, n in self._objective.shares().items():
            if kind == "hard":
                index, known = self._index if catalogue is None else catalogue, self._known.take(chosen.users)
                drawn, border = hard_negatives(
                    chosen.vectors, index, known, n=n, n_hard=self._objective.n_hard, rng=share.draws(rng)
                )
                columns.append(drawn)
            else:
                columns.append(self._samplers[kind].draw(share.users, share.items, share.times, n, rng)[share.rows])
        return np.concatenate(columns, axis=1), border
