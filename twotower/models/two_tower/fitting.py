"""One fit of the three networks: builds them, their samplers, optimisers and examiner, and runs the training loop."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from twotower.ann.exact import ExactIndex
from twotower.data.dataset import Dataset
from twotower.data.interactions import Interactions
from twotower.data.split import Holdout, Split
from twotower.data.tables import Categories
from twotower.errors import BadConfig
from twotower.features.cosine import RawCosine
from twotower.metrics.metric import Metric
from twotower.metrics.ranking import average_precision
from twotower.models.two_tower.encoder import TowerEncoder
from twotower.models.two_tower.features import TowerFeatures
from twotower.models.two_tower.inputs import TowerInputs
from twotower.models.two_tower.item_net import ItemNet
from twotower.models.two_tower.joint_task import JointTask
from twotower.models.two_tower.networks import JointModel
from twotower.models.two_tower.objective import Objective
from twotower.models.two_tower.options import FeatureOptions, TowerOptions, TrainOptions
from twotower.models.two_tower.prepared_inputs import PreparedInputs
from twotower.models.two_tower.rank_net import RankNet, WidePart
from twotower.models.two_tower.ranker import RankNetRanker
from twotower.models.two_tower.svd_start import many_valued, start_from_svd
from twotower.models.two_tower.user_net import UserNet
from twotower.nn.device import pick_device
from twotower.nn.sharded_tables import join_tables, sharding
from twotower.stages.recommender import TwoStageRecommender
from twotower.stages.retriever import Retriever
from twotower.training.adagrad import RowAdagrad
from twotower.training.batches import WindowBatches
from twotower.training.context import FitContext
from twotower.training.early_stopping import Watch
from twotower.training.ftrl import FTRL
from twotower.training.loop import Trainer
from twotower.training.negatives import NegativeSampler, negative_sampler
from twotower.training.progress import Progress
from twotower.types import Floats

EXAMINED = 10
"""Early stopping watches MAP at this k."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a fit gives: networks with their best weights, encoders, and how training went."""

    model: JointModel
    features: TowerFeatures
    progress: Progress


@dataclass(frozen=True, slots=True)
class Fitting:
    """All options of a fit, see `TwoTower`."""

    towers: TowerOptions
    features: FeatureOptions
    objective: Objective
    training: TrainOptions

    def run(
        self,
        split: Split,
        examined: Holdout | None,
        context: FitContext,
        *,
        prepared: PreparedInputs | None = None,
    ) -> Fitted:
        """Learns from `split.train`.

        Args:
            split: its train part and data set are read.
            examined: the validation part of the split, by which early stopping chooses; None: the last epoch is best.
            context: how and where; sharded tables are whole again in the leader's networks only.
            prepared: features and inputs of this split that were learnt before; None: they are learnt here.
        """
        o, workers = self.training, context.together
        device = pick_device(context.device)
        events = split.train.unique_pairs()
        prepared = prepared or PreparedInputs.of(split, self.features, self.towers.identity_min_count)
        inputs, profiles = prepared.training, prepared.profiles
        torch.manual_seed(o.seed)
        with sharding(workers, o.shard_tables_from):
            model = build_model(self.towers, self.objective, inputs, row_wise_from=o.row_wise_from)
        start_from_svd(model, inputs.items, many_valued(inputs.items, self.towers.svd_from))
        model = model.to(device)
        task = JointTask(
            model=model,
            inputs=inputs,
            events=events,
            batches=self._batches(events),
            objective=self.objective,
            samplers=_samplers(self.objective, split.dataset, events),
            profile_rows=profiles.rows if profiles else None,
            raw_cosine=RawCosine(inputs.profiles, inputs.items) if profiles else None,
            optimizers=_optimizers(model, o),
            device=device,
            workers=workers,
        )
        watch = self._watch(prepared, model, examined, device) if examined is not None else None
        progress = self._trainer().fit(task, context, watch)
        join_tables(model)
        return Fitted(model, prepared.features, progress)

    def _batches(self, events: Interactions) -> WindowBatches:
        """Windows as long as UserNet reads; without a history to read, every event is an example of its own."""
        return WindowBatches(
            events,
            window=self.towers.history_length if self.towers.history else 1,
            batch_size=self.training.events_per_batch(len(events)),
            seed=self.training.seed,
        )

    def _trainer(self) -> Trainer:
        o = self.training
        return Trainer(
            epochs=o.epochs,
            seed=o.seed,
            patience=o.patience,
            clip=o.clip,
            schedule=o.schedule,
            checkpoint_seconds=o.checkpoint_seconds,
        )

    def _watch(self, prepared: PreparedInputs, model: JointModel, holdout: Holdout, device: torch.device) -> Watch:
        """MAP@10 of some validation users, both stages; RankNet alone where nothing trains the towers."""
        queries, relevant = holdout.queries(), holdout.relevant()
        n = min(len(queries), self.training.validation_users or len(queries))
        rows = np.sort(np.random.default_rng(self.training.seed).choice(len(queries), n, replace=False))
        queries, relevant = queries.take(rows), relevant.take(rows)

        def examine() -> float:
            encoder = TowerEncoder(
                model=model.eval(),
                features=prepared.features,
                inputs=prepared.validation,
                history_length=self.towers.history_length,
                device=device,
            )
            stages = two_stages(encoder, n_candidates=self.training.validation_candidates)
            ask = stages.recommend if self.objective.trains_towers else stages.gold_standard
            return float(np.mean(average_precision(ask(queries, EXAMINED), relevant, EXAMINED)))

        return Watch(Metric("map", EXAMINED), examine)


def build_model(
    towers: TowerOptions,
    objective: Objective,
    inputs: TowerInputs,
    *,
    row_wise_from: int | None = None,
) -> JointModel:
    """UserNet, ItemNet and RankNet for the fields of some inputs, with fresh weights.

    A table of at least `row_wise_from` identities gets a sparse gradient; None: none does.
    """
    t = towers
    users, profiles, items = inputs.users, inputs.profiles, inputs.items
    widths = dict.fromkeys(many_valued(items, t.svd_from), t.dim)
    user_net = UserNet(
        static_sizes=users.sizes,
        n_static=users.continuous.shape[1],
        profile_sizes=profiles.sizes,
        n_profile=profiles.continuous.shape[1],
        dim=t.dim,
        hidden=t.hidden,
        dropout=t.dropout,
        history=t.history,
        history_length=t.history_length,
        history_layers=t.history_layers,
        history_heads=t.history_heads,
        periodic=users.periodic,
        profile_widths=widths,
        vectors=users.vectors,
    )
    n_identities = int(inputs.identities.max(initial=0)) if t.identities else 0
    new_item_net = partial(
        ItemNet,
        sizes=items.sizes,
        n_continuous=items.continuous.shape[1],
        dim=t.dim,
        hidden=t.hidden,
        dropout=t.dropout,
        periodic=items.periodic,
        widths=widths,
        vectors=items.vectors,
    )
    item_net = new_item_net(
        n_identities=n_identities,
        identity_dropout=t.identity_dropout,
        sparse=row_wise_from is not None and n_identities + 1 >= row_wise_from,
    )
    rank_net = RankNet(
        dim=t.dim,
        wide=WidePart(static_sizes=users.sizes, profile_sizes=profiles.sizes, item_sizes=items.sizes),
        dropout=t.rank_dropout,
        temperature=objective.temperature,
        interactions=t.rank_interactions,
    )
    own = t.history is not None and t.history_items == "content"
    return JointModel(user_net, item_net, rank_net, _content_copy(item_net, new_item_net) if own else None)


def _content_copy(item_net: ItemNet, new_item_net: Callable[..., ItemNet]) -> ItemNet:
    """A second tower with the same weights and without identities."""
    if item_net.project is None:
        raise BadConfig("towers.history_items=content: the items have no features to read; use shared")
    copy = new_item_net(n_identities=0)
    state = item_net.state_dict()
    copy.load_state_dict({name: state[name] for name in copy.state_dict()})
    return copy


def two_stages(
    encoder: TowerEncoder, popularity: Floats | None = None, *, n_candidates: int, rank: bool = True
) -> TwoStageRecommender:
    """Towers over an exact index, and RankNet (or the towers' own order) on their candidates."""
    vectors = encoder.item_vectors
    retriever = Retriever(encoder, ExactIndex(metric="inner_product").build(vectors), vectors=vectors)
    ranker = new_ranker(encoder) if rank else None
    return TwoStageRecommender(retriever, ranker, n_candidates=n_candidates, popularity=popularity)


@torch.inference_mode()
def new_ranker(encoder: TowerEncoder) -> RankNetRanker:
    """RankNet over the candidates of an encoder's towers."""
    every = torch.arange(len(encoder.items), device=encoder.device)
    wide = encoder.model.wide_items(encoder.device_inputs, every).float()
    return RankNetRanker(encoder.model.rank_net, encoder, wide)


def _samplers(objective: Objective, dataset: Dataset, events: Interactions) -> dict[str, NegativeSampler]:
    column = dataset.items[dataset.category] if dataset.category else None
    category = column.codes.astype(np.int64) if isinstance(column, Categories) else None
    return {kind: negative_sampler(kind, events, category) for kind in objective.negatives if kind != "hard"}


def _optimizers(model: JointModel, options: TrainOptions) -> list[torch.optim.Optimizer]:
    """Adam for towers and deep part, FTRL (or Adam) for the wide part, row-wise Adagrad for many identities."""
    table = model.item_net.identities
    named = dict(model.named_parameters())
    rows = [named.pop("item_net.identities.weight")] if table is not None and table.sparse else []
    wide = [p for name, p in named.items() if name.startswith("rank_net.wide.")]
    deep = [p for name, p in named.items() if not name.startswith("rank_net.wide.")]
    fused = True if model.user_net.history is None else None  # many small tables: one call for all, other rounding
    optimizers: list[torch.optim.Optimizer] = [torch.optim.Adam(deep, lr=options.lr, fused=fused)]
    if wide:
        kind = torch.optim.Adam if options.wide_optimizer == "adam" else FTRL
        optimizers.append(kind(wide, lr=options.wide_lr))
    if rows:
        optimizers.append(RowAdagrad(rows, lr=options.row_wise_lr, row_wise=True))
    return optimizers
