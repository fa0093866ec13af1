"""`TwoTower`: the system as one model: fits UserNet, ItemNet and RankNet on a split, then encodes and recommends."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from twotower.data.dataset import Dataset
from twotower.data.interactions import Interactions
from twotower.data.split import Split
from twotower.errors import BundleError, NotFitted
from twotower.models.base import Model
from twotower.models.options import count, require
from twotower.models.two_tower.encoder import TowerEncoder
from twotower.models.two_tower.features import TowerFeatures
from twotower.models.two_tower.fitting import Fitting, build_model, new_ranker, two_stages
from twotower.models.two_tower.inputs import TowerInputs
from twotower.models.two_tower.objective import JointObjective, Objective
from twotower.models.two_tower.options import FeatureOptions, TowerOptions, TrainOptions, with_single
from twotower.models.two_tower.prepared_inputs import PreparedInputs
from twotower.models.two_tower.ranker import RankNetRanker
from twotower.nn.device import keep_freed_memory, pick_device, set_threads
from twotower.stages.recommender import TwoStageRecommender
from twotower.training.context import QUIET, FitContext
from twotower.training.progress import Progress
from twotower.types import Array, Floats, Queries, TopK

TOWERS, RANKER, VECTORS = "towers.safetensors", "ranker.safetensors", "item_vectors.npy"
POPULARITY = "popularity.npy"


@dataclass(kw_only=True, eq=False, repr=False)
class TwoTower(Model):
    """Two-stage recommendation in one object: towers to retrieve by, RankNet to rank with.

    ```python
    model = TwoTower(epochs=5, dim=32).fit(split)
    top = model.recommend(split.test.queries(), k=10)
    ```

    Attributes:
        towers: sizes of the networks.
        features: how features are encoded.
        objective: which losses are added up.
        training: how they are minimised.
        n_candidates: retrieved items that RankNet orders in `recommend`.
        progress: how the training went, a value for each of its fits.
    """

    towers: TowerOptions = field(default_factory=TowerOptions)
    features: FeatureOptions = field(default_factory=FeatureOptions)
    objective: Objective = field(default_factory=JointObjective)
    training: TrainOptions = field(default_factory=TrainOptions)
    n_candidates: int = 500

    serves_new_items = True
    reads_users = True
    has_vectors = True
    refits = False  # `training.refit` says whether it does, after a fit that watches validation

    def __init__(
        self,
        *,
        towers: TowerOptions | None = None,
        features: FeatureOptions | None = None,
        objective: Objective | None = None,
        training: TrainOptions | None = None,
        n_candidates: int = 500,
        **options: Any,
    ) -> None:
        """Takes groups of options, or single ones by name: `TwoTower(epochs=3, dim=32)`.

        Raises:
            BadConfig: no group has such an option, or it is out of range.
        """
        groups = (towers or TowerOptions(), features or FeatureOptions(), objective or JointObjective(),
                  training or TrainOptions())  # fmt: skip
        self.towers, self.features, self.objective, self.training = with_single(groups, options)
        self.n_candidates = n_candidates
        self.__post_init__()

    def __post_init__(self) -> None:
        """Refuses options out of range; those of the groups were refused when these were made.

        Raises:
            BadConfig: it names the option.
        """
        require(self, n_candidates=count)
        self.progress: list[Progress] = []
        self._encoder: TowerEncoder | None = None
        self._fitted_features: TowerFeatures | None = None
        self._stages: TwoStageRecommender | None = None
        self._popularity: Floats = np.empty(0, np.float32)

    def fit(self, split: Split, context: FitContext = QUIET, *, prepared: PreparedInputs | None = None) -> Self:
        """Learns from `split.train`, stops early by `split.validation`, then stands ready for `split.ready_for`.

        Args:
            split: what to learn from.
            context: how and where; of several processes only the leader's estimator is fitted.
            prepared: `PreparedInputs.of` this split with these options, if that was done before.

        Returns:
            The fitted estimator: histories, profiles and catalogue as of the moment of asking.
        """
        set_threads(context.threads)
        keep_freed_memory()
        fitting = Fitting(self.towers, self.features, self.objective, self.training)
        watched = split.validation if split.watches_validation else None
        fitted = fitting.run(split, watched, context, prepared=prepared)
        self.progress = [fitted.progress]
        if self.training.refit:
            again = replace(self.training, epochs=fitted.progress.best_epoch + 1, patience=None)
            fitted = replace(fitting, training=again).run(split.refit(), None, context.inside("refit"))
            self.progress.append(fitted.progress)
        if not context.leads:
            return self
        self._fitted_features, asked = fitted.features, split.ready_for
        if prepared is not None and not self.training.refit and asked is split.test:
            inputs = prepared.test
        else:
            inputs = fitted.features.serving_inputs(split.dataset, asked.history, asked.at)
        self._popularity = asked.history.item_counts().astype(np.float32)
        self._stand_ready(fitted.model, inputs, context.device)
        return self

    def again(self, split: Split, context: FitContext = QUIET) -> Self:
        """A new model with these options and as many epochs as were best, learnt from `split.train`."""
        training = replace(self.training, epochs=self.progress[0].best_epoch + 1, patience=None, refit=False)
        options = {**self.options(), "training": _plain(asdict(training))}
        return self.of_options(options).fit(split, context)

    def serve(self, dataset: Dataset, history: Interactions, at: int) -> Self:
        """Takes profiles and the catalogue as of another moment; `fit` does so for the test's.

        Args:
            dataset: users and catalogue with the ids of training; users and items may follow them.
            history: events before `at`.
            at: seconds since the epoch.
        """
        self._fitted_features = self._features().for_items(dataset.n_items)
        inputs = self._fitted_features.serving_inputs(dataset, history, at)
        self._popularity = history.item_counts().astype(np.float32)
        self._stand_ready(self.encoder.model, inputs, str(self.encoder.device))
        return self

    @property
    def uses_validation(self) -> bool:
        """Whether it can stop early."""
        return self.training.patience is not None and self.training.epochs > self.training.patience

    @property
    def encoder(self) -> TowerEncoder:
        """The towers at work.

        Raises:
            NotFitted: before `fit` or `load`.
        """
        if self._encoder is None:
            raise NotFitted("TwoTower: call fit or load first")
        return self._encoder

    @property
    def item_vectors(self) -> Floats:
        """Unit vectors of the catalogue. Shape [N, D]."""
        return self.encoder.item_vectors

    @property
    def likeness(self) -> Floats:
        """Item vectors whose cosine says how alike items are. Shape [N, D]."""
        return self.item_vectors

    def user_vectors(self, queries: Queries) -> Floats:
        """Unit vectors of the queries' users. Shape [B, D]."""
        return self.encoder.user_vectors(queries)

    def recommend(self, queries: Queries, k: int) -> TopK:
        """Lists of both stages; of RankNet over everything where nothing else trained the towers. Shape [B, k]."""
        self._check(queries)
        if self._stages is None:
            self._stages = self.recommender(n_candidates=self.n_candidates)
        if self.objective.trains_towers:
            return self._stages.recommend(queries, k)
        return self._stages.gold_standard(queries, k)

    def pair_scores(self, queries: Queries, candidates: TopK) -> Floats:
        """RankNet's logits of the candidates. Shape [B, C]."""
        return self.ranker().scores(queries, candidates)

    def rank(self, queries: Queries, candidates: TopK) -> TopK:
        """The same candidates in RankNet's order. Shape [B, C]."""
        return self.ranker().rank(queries, candidates)

    def ranker(self) -> RankNetRanker:
        """The second stage alone."""
        return new_ranker(self.encoder)

    def recommender(self, *, n_candidates: int = 500, rank: bool = True) -> TwoStageRecommender:
        """Both stages over an exact index; `rank=False` keeps the towers' order.

        Args:
            n_candidates: how many retrieved items RankNet orders.
            rank: use the second stage.
        """
        return two_stages(self.encoder, self._popularity, n_candidates=n_candidates, rank=rank)

    def options(self) -> dict[str, Any]:
        """All options as plain values."""
        groups = {name: _plain(asdict(getattr(self, name))) for name in ("towers", "features", "objective", "training")}
        return {**groups, "n_candidates": self.n_candidates}

    def state(self) -> dict[str, Array]:
        """The weights of the three networks, by their names."""
        weights = self.encoder.model.state_dict()
        return {name: tensor.detach().cpu().numpy() for name, tensor in weights.items()}

    def set_state(self, state: dict[str, Array]) -> None:
        """Takes back what `state` gave, into networks of the same sizes."""
        networks = self.encoder.model
        networks.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
        self._stand_ready(networks, self.encoder.inputs, str(self.encoder.device))

    def save(self, directory: Path) -> None:
        """Writes networks, encoders, encoded inputs and item vectors into a directory that is made if needed."""
        directory.mkdir(parents=True, exist_ok=True)
        state = {n: t.detach().cpu().contiguous() for n, t in self.encoder.model.state_dict().items()}
        save_file({n: t for n, t in state.items() if not n.startswith("rank_net.")}, directory / TOWERS)
        save_file({n: t for n, t in state.items() if n.startswith("rank_net.")}, directory / RANKER)
        np.save(directory / VECTORS, self.item_vectors)
        np.save(directory / POPULARITY, self._popularity)
        self._features().save(directory / "encoders")
        self.encoder.inputs.save(directory / "encoders")
        self._save_facts(directory)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Opens what `save` wrote (`runs/<name>` is such a directory), on a GPU if there is one."""
        model = cls.of_options(cls._facts_in(directory)["options"])
        features = TowerFeatures.load(directory / "encoders")
        inputs = TowerInputs.load(directory / "encoders", features.identities)
        networks = build_model(model.towers, model.objective, inputs)
        networks.load_state_dict(load_file(directory / TOWERS) | load_file(directory / RANKER))
        model._fitted_features = features
        vectors = np.load(directory / VECTORS, allow_pickle=False)
        model._popularity = np.load(directory / POPULARITY, allow_pickle=False)
        if model._popularity.shape != (len(inputs.items),):
            raise BundleError(f"{directory / POPULARITY} is no number for each item; train again")
        device = pick_device("auto")
        model._stand_ready(networks.to(device), inputs, str(device), vectors)
        return model

    @classmethod
    def of_options(cls, options: Mapping[str, Any]) -> Self:
        """A model of what `options` gave, or of the same as JSON gives it back."""
        return cls(
            towers=TowerOptions(**_tuples(options["towers"])),
            features=FeatureOptions(**_tuples(options["features"])),
            objective=Objective(**_tuples(options["objective"])),
            training=TrainOptions(**_tuples(options["training"])),
            n_candidates=options["n_candidates"],
        )

    def _features(self) -> TowerFeatures:
        if self._fitted_features is None:
            raise NotFitted("TwoTower: call fit or load first")
        return self._fitted_features

    def _stand_ready(self, networks: Any, inputs: TowerInputs, device: str, item_vectors: Floats | None = None) -> None:
        """Takes networks and what they read when asked."""
        self._encoder = TowerEncoder(
            model=networks.eval(),
            features=self._features(),
            inputs=inputs,
            history_length=self.towers.history_length,
            device=torch.device(device) if ":" in device else pick_device(device),
            item_vectors=item_vectors,
        )
        self._stages, self.n_items = None, len(inputs.items)


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Lists for tuples, as JSON has them."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}


def _tuples(options: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has lists where the options have tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
