"""A small joint model over the two tastes, ready for one training step, with everything that it was built from."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from twotower.data.split import Split
from twotower.features.cosine import RawCosine
from twotower.features.profiles import Profiles
from twotower.models.two_tower.encoder import TowerEncoder
from twotower.models.two_tower.features import TowerFeatures
from twotower.models.two_tower.fitting import build_model
from twotower.models.two_tower.inputs import TowerInputs
from twotower.models.two_tower.joint_task import JointTask
from twotower.models.two_tower.networks import JointModel
from twotower.models.two_tower.objective import Objective
from twotower.models.two_tower.options import FeatureOptions, TowerOptions
from twotower.training.batches import WindowBatches
from twotower.training.negatives import negative_sampler

CPU = torch.device("cpu")
SMALL = TowerOptions(dim=8, history_layers=1, history_length=6, dropout=0.0, identity_dropout=0.0, rank_dropout=0.0)


@dataclass
class Bench:
    """A `JointTask` in evaluation mode (no dropout), and its parts."""

    split: Split
    towers: TowerOptions
    features: TowerFeatures
    inputs: TowerInputs
    profiles: Profiles | None
    model: JointModel
    batches: WindowBatches
    task: JointTask

    @property
    def catalogue(self) -> np.ndarray:
        """Unit vectors of all items. Shape [N, D]."""
        return self.model.encode_catalogue(self.inputs.to(CPU)).numpy()

    def encoder(self, at: int | None = None) -> TowerEncoder:
        """The towers as they would serve at a moment (else the test's)."""
        events = self.split.train
        at = self.split.test.at if at is None else at
        inputs = self.features.serving_inputs(self.split.dataset, events, at)
        return TowerEncoder(
            model=self.model,
            features=self.features,
            inputs=inputs,
            history_length=self.towers.history_length,
            device=CPU,
        )

    def first_step(self, batch: int = 0) -> tuple[torch.Tensor, dict[str, float], dict[str, Any]]:
        """Loss and parts of one batch of epoch 0, and what went in and out of UserNet and RankNet."""
        seen: dict[str, Any] = {}

        def hook(name: str) -> Callable[..., None]:
            def keep(_module: Any, arguments: Any, result: Any) -> None:
                seen[name] = (arguments, result)

            return keep

        hooks = [
            getattr(self.model, name).register_forward_hook(hook(name)) for name in ("user_net", "item_net", "rank_net")
        ]
        self.task.start_epoch(0, {})
        _, step = next(self.task.batches(0, batch))
        loss, parts = step()
        for handle in hooks:
            handle.remove()
        return loss, parts, seen


@pytest.fixture
def bench(two_tastes) -> Callable[..., Bench]:
    """Builds a `Bench`; options of towers and features win over the small ones."""

    def make(
        objective: Objective | None = None,
        *,
        split: Split = two_tastes,
        towers: dict[str, Any] | None = None,
        features: dict[str, Any] | None = None,
        batch_size: int = 64,
        seed: int = 0,
        **parts: Any,
    ) -> Bench:
        objective = objective or Objective(retrieval_weight=1.0)
        sizes, dataset = replace(SMALL, **towers or {}), split.dataset
        events = split.train.unique_pairs()
        fitted = TowerFeatures.fit(dataset, split.train, FeatureOptions(**features or {}), 1)
        inputs, profiles = fitted.training_inputs(dataset, split.train)
        torch.manual_seed(seed)
        model = build_model(sizes, objective, inputs).eval()
        window = sizes.history_length if sizes.history else 1
        batches = WindowBatches(events, window=window, batch_size=batch_size, seed=seed)
        category = np.arange(dataset.n_items) % 2
        kinds = [kind for kind in objective.negatives if kind != "hard"]
        usual: dict[str, Any] = {
            "samplers": {kind: negative_sampler(kind, events, category) for kind in kinds},
            "profile_rows": profiles.rows if profiles else None,
            "raw_cosine": RawCosine(inputs.profiles, inputs.items) if profiles else None,
            "optimizers": [torch.optim.Adam(model.parameters())],
        }
        task = JointTask(
            model=model, inputs=inputs, events=events, batches=batches, objective=objective, device=CPU,
            **usual | parts,
        )  # fmt: skip
        return Bench(split, sizes, fitted, inputs, profiles, model, batches, task)

    return make
