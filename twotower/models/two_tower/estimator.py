"""`TwoTower`: the estimator: fits UserNet, ItemNet and RankNet on a split, then encodes, ranks, saves and loads."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors.torch import load_file, save_file

from twotower.data.dataset import Dataset
from twotower.data.interactions import Interactions
from twotower.data.split import Split
from twotower.errors import NotFitted
from twotower.models.two_tower.encoder import TowerEncoder
from twotower.models.two_tower.features import TowerFeatures
from twotower.models.two_tower.fitting import Fitting, build_model, new_ranker, two_stages
from twotower.models.two_tower.inputs import TowerInputs
from twotower.models.two_tower.objective import JOINT, Objective
from twotower.models.two_tower.options import FeatureOptions, TowerOptions, TrainOptions
from twotower.models.two_tower.prepared_inputs import PreparedInputs
from twotower.models.two_tower.ranker import RankNetRanker
from twotower.nn.device import keep_freed_memory, pick_device, set_threads
from twotower.nn.distributed import ALONE, Workers
from twotower.stages.recommender import TwoStageRecommender
from twotower.training.loop import Progress
from twotower.types import Floats, Queries, TopK


class TwoTower:
    """Two-stage recommendation in one object: towers to retrieve by, RankNet to rank with.

    ```python
    model = TwoTower(training=TrainOptions(epochs=5)).fit(split)
    top = model.recommender().recommend(split.test.queries(), k=10)
    ```

    Args:
        towers: sizes of the networks.
        features: how features are encoded.
        objective: which losses are added up; without one, `JOINT`.
        training: how they are minimised.

    `on_validation`, if set, is called with the MAP@10 of every epoch that is watched; what it raises ends the fit.
    """

    def __init__(
        self,
        *,
        towers: TowerOptions | None = None,
        features: FeatureOptions | None = None,
        objective: Objective | None = None,
        training: TrainOptions | None = None,
    ) -> None:
        self.towers = towers or TowerOptions()
        self.features = features or FeatureOptions()
        self.objective = objective or JOINT
        self.training = training or TrainOptions()
        self.progress: list[Progress] = []
        self.on_validation: Callable[[float], None] | None = None
        self._encoder: TowerEncoder | None = None
        self._fitted_features: TowerFeatures | None = None

    def fit(
        self,
        split: Split,
        *,
        workspace: Path | None = None,
        progress: bool = False,
        workers: Workers = ALONE,
        prepared: PreparedInputs | None = None,
    ) -> Self:
        """Learns from `split.train`, stops early by `split.validation`, then stands ready for `split.test`'s moment.

        Args:
            split: what to learn from.
            workspace: directory for checkpoints and TensorBoard logs; a killed fit goes on from there. None: neither.
            progress: show a progress bar.
            workers: processes that call this together, each with the same arguments and a share of every batch; see
                `nn.distributed.process_group`.
            prepared: `PreparedInputs.of` this split with these options, if that was done before.

        Returns:
            The fitted estimator: histories, profiles and catalogue as of `split.test`. Of several processes only the
            leader's is fitted; the others know how it went.
        """
        set_threads(self.training.threads)
        keep_freed_memory()
        fitting = Fitting(self.towers, self.features, self.objective, self.training)
        fitted = fitting.run(
            split, split.validation, workspace,
            progress=progress, on_validation=self.on_validation, workers=workers, prepared=prepared,
        )  # fmt: skip
        self.progress = [fitted.progress]
        if self.training.refit:
            again = replace(self.training, epochs=fitted.progress.best_epoch + 1, patience=None)
            inside = workspace / "refit" if workspace else None
            fitted = replace(fitting, training=again).run(
                split.refit(), None, inside, progress=progress, workers=workers
            )
            self.progress.append(fitted.progress)
        if not workers.leads:
            return self
        self._fitted_features = fitted.features
        if prepared is not None and not self.training.refit:
            inputs = prepared.test
        else:
            inputs = fitted.features.serving_inputs(split.dataset, split.test.history, split.test.at)
        self._encoder = self._new_encoder(fitted.model, inputs, None)
        return self

    def serve(self, dataset: Dataset, history: Interactions, at: int) -> Self:
        """Takes profiles and the catalogue as of another moment; `fit` does so for the test's.

        Args:
            dataset: users and catalogue with the id spaces of training.
            history: events before `at`.
            at: seconds since the epoch.
        """
        inputs = self._features().serving_inputs(dataset, history, at)
        self._encoder = self._new_encoder(self.encoder.model, inputs, None)
        return self

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

    def user_vectors(self, queries: Queries) -> Floats:
        """Unit vectors of the queries' users. Shape [B, D]."""
        return self.encoder.user_vectors(queries)

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
        return two_stages(self.encoder, n_candidates=n_candidates, rank=rank)

    def options(self) -> dict[str, dict[str, Any]]:
        """All options as plain values."""
        return {name: asdict(getattr(self, name)) for name in ("towers", "features", "objective", "training")}

    def save(self, directory: Path) -> None:
        """Writes networks, encoders, encoded inputs and item vectors into a directory that is made if needed."""
        directory.mkdir(parents=True, exist_ok=True)
        state = {n: t.detach().cpu().contiguous() for n, t in self.encoder.model.state_dict().items()}
        save_file({n: t for n, t in state.items() if not n.startswith("rank_net.")}, directory / "towers.safetensors")
        save_file({n: t for n, t in state.items() if n.startswith("rank_net.")}, directory / "ranker.safetensors")
        np.save(directory / "item_vectors.npy", self.item_vectors)
        self._features().save(directory / "encoders")
        self.encoder.inputs.save(directory / "encoders")
        (directory / "model.json").write_text(json.dumps(self.options(), indent=2) + "\n")

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Opens what `save` wrote (`runs/<name>` is such a directory), on a GPU if there is one."""
        facts = json.loads((directory / "model.json").read_text())
        model = cls(
            towers=TowerOptions(**_tuples(facts["towers"])),
            features=FeatureOptions(**_tuples(facts["features"])),
            objective=Objective(**_tuples(facts["objective"])),
            training=TrainOptions(**{**facts["training"], "device": "auto"}),
        )
        features = TowerFeatures.load(directory / "encoders")
        inputs = TowerInputs.load(directory / "encoders", features.identities)
        networks = build_model(model.towers, model.objective, inputs)
        state = load_file(directory / "towers.safetensors") | load_file(directory / "ranker.safetensors")
        networks.load_state_dict(state)
        model._fitted_features = features
        vectors = np.load(directory / "item_vectors.npy", allow_pickle=False)
        model._encoder = model._new_encoder(networks.to(pick_device("auto")), inputs, vectors)
        return model

    def _features(self) -> TowerFeatures:
        if self._fitted_features is None:
            raise NotFitted("TwoTower: call fit or load first")
        return self._fitted_features

    def _new_encoder(self, networks: Any, inputs: TowerInputs, item_vectors: Floats | None) -> TowerEncoder:
        return TowerEncoder(
            model=networks.eval(),
            features=self._features(),
            inputs=inputs,
            history_length=self.towers.history_length,
            device=pick_device(self.training.device),
            item_vectors=item_vectors,
        )


def _tuples(options: dict[str, Any]) -> dict[str, Any]:
    """JSON has lists where the options have tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
