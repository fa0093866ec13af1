"""`NeuralModel`: the base of models that are a torch module: how they are fitted, stopped, saved is written here."""

import json
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np
import torch
from torch import Tensor, nn

from twotower.data.split import Split
from twotower.errors import BadConfig, NotFitted
from twotower.metrics.metric import Metric
from twotower.models.base import Model
from twotower.models.options import count, not_negative, one_of, or_none, positive, require
from twotower.models.pairs import PairModel
from twotower.nn.device import keep_freed_memory, pick_device, set_threads
from twotower.nn.distributed import Workers
from twotower.training.context import QUIET, FitContext
from twotower.training.early_stopping import Watch, watch_lists, watch_values
from twotower.training.loop import Trainer
from twotower.training.progress import Progress
from twotower.training.task import Task
from twotower.types import Array

Schedule = Literal["constant", "linear"]
Facts = dict[str, Any]
"""What the sizes of a module follow from, such as numbers of users and items: JSON's values, saved with the weights."""
FACTS = "facts"


@dataclass(kw_only=True, eq=False, repr=False)
class NeuralModel(Model):
    """A torch module, trained by the one training loop: its checkpoints, logs and processes serve all.

    A subclass writes `build`, `task`, and `score` or (as a `PairModel`) `raw_values`; all that it learns are parameters
    and buffers of the module, and facts.

    Attributes:
        epochs: passes over the training events at most; exactly so many when there is no validation part to watch.
        batch_size: examples per step.
        lr: learning rate.
        l2: weight of the squared weights that a batch reads.
        patience: epochs without a better figure before stopping; null never stops early.
        metric: what is watched, on validation: of lists such as map@10, of values rmse, mae, log_loss or auc.
        clip: largest norm of the gradient; null leaves it alone.
        schedule: the learning rate stays ("constant") or falls to zero over `epochs` ("linear").
        seed: of weights, order, draws and dropout.
        progress: how the training went.
    """

    epochs: int = 20
    batch_size: int = 1024
    lr: float = 0.001
    l2: float = 0.0
    patience: int | None = 3
    metric: str = "map@10"
    clip: float | None = None
    schedule: Schedule = "constant"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses options out of range.

        Raises:
            BadConfig: it names the option.
        """
        require(
            self, epochs=count, batch_size=count, lr=positive, l2=not_negative, patience=or_none(count),
            clip=or_none(positive), schedule=one_of(*get_args(Schedule)),
        )  # fmt: skip
        if not Metric.parse(self.metric).of_lists and not isinstance(self, PairModel):
            raise BadConfig(f"{type(self).__name__}: metric={self.metric!r} is of values; it makes lists: use map@10")
        self.progress: list[Progress] = []
        self.best_epochs = self.epochs
        self.facts: Facts = {}
        self._module: nn.Module | None = None

    def facts_of(self, split: Split) -> Facts:
        """What `build` needs to know of the data; more, where a subclass says so."""
        return {"n_users": split.train.n_users, "n_items": split.train.n_items}

    @abstractmethod
    def build(self, facts: Facts) -> nn.Module:
        """The module with fresh weights, drawn from torch's generator."""

    @abstractmethod
    def task(self, module: nn.Module, split: Split, workers: Workers) -> Task:
        """What the loop trains: batches and loss; `training.tasks` has the usual ones."""

    def fit(self, split: Split, context: FitContext = QUIET) -> Self:
        """Trains on `split.train`; stops early by `split.validation`, where the split lets a fit watch that."""
        set_threads(context.threads)
        keep_freed_memory()
        self.n_items = split.train.n_items
        torch.manual_seed(self.seed)
        self._take(self.facts_of(split), context.device)
        trainer = Trainer(
            epochs=self.epochs, seed=self.seed, patience=self.patience, clip=self.clip, schedule=self.schedule
        )
        task = self.task(self.module, split, context.together)
        progress = trainer.fit(task, context, self._watch(split) if split.watches_validation else None)
        self.progress, self.best_epochs = [progress], progress.best_epoch + 1
        return self

    @property
    def module(self) -> nn.Module:
        """The module at work.

        Raises:
            NotFitted: before `fit` or `load`.
        """
        if self._module is None:
            raise NotFitted(f"{type(self).__name__}: call fit or load first")
        return self._module

    def found_options(self) -> dict[str, Any]:
        """The number of epochs that was best."""
        return {"epochs": self.best_epochs}

    def state(self) -> dict[str, Array]:
        """Parameters and buffers of the module by their names; the facts and the best epochs as the bytes of JSON."""
        arrays = {name: tensor.detach().cpu().numpy() for name, tensor in self.module.state_dict().items()}
        known = json.dumps({"facts": self.facts, "best_epochs": self.best_epochs})
        return {**arrays, FACTS: np.frombuffer(known.encode(), np.uint8)}

    def set_state(self, state: dict[str, Array]) -> None:
        """Takes back what `state` gave, on a GPU if there is one."""
        known = json.loads(state[FACTS].tobytes())
        self.best_epochs = known["best_epochs"]
        self._take(known["facts"], "auto")
        self.module.load_state_dict({n: torch.from_numpy(array) for n, array in state.items() if n != FACTS})
        self.module.eval()

    def _take(self, facts: Facts, device: str) -> None:
        """Builds the module of some facts where it is to work."""
        self.facts, self._module = facts, self.build(facts).to(pick_device(device))

    def _watch(self, split: Split) -> Watch:
        if not Metric.parse(self.metric).of_lists and isinstance(self, PairModel):
            return watch_values(self, split, self.metric)
        return watch_lists(self, split, self.metric, self.seed)

    def _tensor(self, array: Array) -> Tensor:
        """An array where the module is."""
        return torch.as_tensor(array, device=next(self.module.parameters()).device)
