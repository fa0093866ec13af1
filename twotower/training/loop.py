"""The one training loop: seeded steps, early stopping, checkpoints that resume exactly, progress, TensorBoard."""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from twotower.errors import BundleError, TrainingDiverged
from twotower.nn.device import repeatable, seed_draws
from twotower.nn.sharded_tables import RowShard, clip_gradients, shards_of, whole_tensors
from twotower.storage.manifest import reading
from twotower.training.checkpoints import MAIN, flat_states, load_flat_states, open_checkpoint, owners, save_checkpoint
from twotower.training.context import QUIET, FitContext
from twotower.training.early_stopping import Watch
from twotower.training.loggers import LOGGERS, Logger, check_loggers
from twotower.training.progress import Progress, epoch_bar, tell
from twotower.training.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainer:
    """Runs a `Task` for some epochs and leaves its best weights in the module.

    Every step seeds torch by (seed, epoch, batch), so a run that was killed and resumed draws what the run that was not
    killed draws; on a CPU, with the same number of threads, it ends with the same weights.

    Several processes do the same steps with the same weights, each on its share of every batch: losses and gradients
    are added up. torch's DistributedDataParallel is not used: it averages gradients, which is wrong for unequal shares,
    and wants one call of one module a step, where a step here calls parts of three networks.

    Attributes:
        epochs: most epochs.
        seed: of initial weights (the caller's), dropout and negatives.
        patience: epochs without a better validation figure before stopping; None never stops early.
        clip: largest norm of the gradient; None leaves it alone, as sparse gradients need.
        schedule: learning rates fall linearly to zero over `epochs` ("linear") or stay ("constant").
        checkpoint_seconds: also checkpoint inside an epoch when this long has passed.
    """

    epochs: int
    seed: int = 0
    patience: int | None = 3
    clip: float | None = 5.0
    schedule: str = "constant"
    checkpoint_seconds: float = 120.0

    def fit(self, task: Task, context: FitContext = QUIET, watch: Watch | None = None) -> Progress:
        """Trains until done, or goes on from the newest checkpoint.

        Args:
            task: what is trained.
            context: where checkpoints and logs go, who trains along (the leader alone validates, logs and decides),
                and who is told how it goes.
            watch: the figure by which the best epoch is chosen; None: the newest weights are the best.
        """
        run = _Run(self, task, context, watch)
        run.workers.check_same("weights or batches", [*whole_tensors(task.module), np.array([task.n_batches(0)])])
        run.resume()
        with repeatable(next(task.module.parameters()).device):
            while not run.finished():
                run.epoch()
        run.keep_best()
        return run.at


class _Run:
    """One call of `Trainer.fit`: what it was given, and where it stands."""

    def __init__(self, trainer: Trainer, task: Task, context: FitContext, watch: Watch | None) -> None:
        self.trainer = trainer
        self.task = task
        self.context = context
        self.watch = watch
        self.workers = context.together
        self.parameters = list(task.module.parameters())  # walking through the networks at every step takes long
        self.whole = [p for p in self.parameters if not isinstance(p, RowShard)]
        self.shards = shards_of(task.module)
        self.owner = owners(self.shards, task.optimizers)
        self.at = Progress(metric=str(watch.metric) if watch else None)
        self.best_weights: dict[str, Tensor] = {}
        self.kept: Mapping[str, Tensor] = {}
        self.rates = [[group["lr"] for group in o.param_groups] for o in task.optimizers]
        self.saved_at = time.monotonic()
        self.loggers: list[Logger] | None = None

    def finished(self) -> bool:
        """All epochs done, or no better figure for `patience` epochs."""
        patience = self.trainer.patience
        waited = self.at.epoch - 1 - self.at.best_epoch
        return self.at.epoch >= self.trainer.epochs or (
            patience is not None and self.at.epoch > 0 and waited >= patience and self.at.batch == 0
        )

    def epoch(self) -> None:
        """The batches of one epoch that are still to do, then validation and a checkpoint."""
        began, seconds_before, examples_before = time.monotonic(), self.at.seconds, self.at.examples
        self.kept = self.task.start_epoch(self.at.epoch, self.kept)
        self.task.module.train()
        losses = self._steps(began, seconds_before)
        self.at.seconds = seconds_before + time.monotonic() - began
        rate = (self.at.examples - examples_before) / max(self.at.seconds - seconds_before, 1e-9)
        self.task.module.eval()
        self._examine(losses)
        self.at.epoch, self.at.batch, self.at.sums, self.kept = self.at.epoch + 1, 0, {}, {}
        if self.context.progress and self.workers.leads:
            tell(self.at.newest(self.trainer.epochs, rate))
        self._log()
        self.save()

    def _steps(self, began: float, seconds_before: float) -> dict[str, float]:
        """Trains on the batches that are left; gives the means of the loss and its terms over the epoch."""
        total, first, seen = self.task.n_batches(self.at.epoch), self.at.batch, 0
        name = f"epoch {self.at.epoch + 1}/{self.trainer.epochs}"
        with epoch_bar(name, total, first, shown=self.context.progress and self.workers.leads) as bar:
            for examples, step in self.task.batches(self.at.epoch, first):
                self._set_rates(total)
                parts = self._step(step)
                seen += examples
                self.at.batch, self.at.examples = self.at.batch + 1, self.at.examples + examples
                self.at.sums = {name: self.at.sums.get(name, 0.0) + value for name, value in parts.items()}
                elapsed, loss = time.monotonic() - began, self.at.sums["loss"] / self.at.batch
                bar.set_postfix_str(f"loss {loss:.4f}, {seen / elapsed:,.0f} examples/s", refresh=False)
                bar.update()
                if self.context.checkpoints and self._due():
                    self.at.seconds = seconds_before + elapsed
                    self.save()
        return {name: value / self.at.batch for name, value in self.at.sums.items()}

    def _examine(self, losses: Mapping[str, float]) -> None:
        """Validates; writes the epoch's row; keeps the weights if none were better."""
        figure = self._validate()
        row = {"epoch": self.at.epoch, "seconds": self.at.seconds, **losses}
        self.at.history.append(row if figure is None else {**row, "validation": figure})
        if figure is None or self.watch is None or self.watch.better(figure, self.at.best):
            self.at.best, self.at.best_epoch = figure, self.at.epoch
            self.best_weights = {n: t.detach().clone() for n, t in self.task.module.state_dict().items()}

    def _due(self) -> bool:
        """Whether a checkpoint is due; where every process writes a part of it, by the leader's clock."""
        due = time.monotonic() - self.saved_at > self.trainer.checkpoint_seconds
        return bool(self.workers.from_leader(due)) if self.shards else due

    @torch.inference_mode()
    def _validate(self) -> float | None:
        """The leader's figure; sharded tables must be asked by all processes, so all of them work it out then."""
        if self.watch is None:
            return None
        figure = self.workers.from_leader(self.watch.examine() if self.workers.leads or self.shards else None)
        if figure is None or not math.isfinite(figure):
            where = f"after epoch {self.at.epoch + 1}"
            raise TrainingDiverged(f"{self.watch.metric} became {figure} {where}; lower lr or check the input")
        if self.context.on_epoch is not None:
            self.context.on_epoch(figure)
        return figure

    def _step(self, step: Callable[[], tuple[Tensor, dict[str, float]]]) -> dict[str, float]:
        """One update; a loss or gradient that is not finite stops training with the weights still sound."""
        where = f"epoch {self.at.epoch + 1}, batch {self.at.batch + 1}"
        own = () if self.workers.leads else (self.workers.rank,)  # or all processes would drop the same units
        seed_draws(hash((self.trainer.seed, self.at.epoch, self.at.batch, *own)) & 0x7FFFFFFF)
        for optimizer in self.task.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss, own_parts = step()
        parts = self.workers.sums({"loss": float(loss.detach()), **own_parts})
        value = parts["loss"]
        if not math.isfinite(value):
            raise TrainingDiverged(f"the loss became {value} at {where} ({parts}); lower lr or check the input")
        loss.backward()  # type: ignore[no-untyped-call]
        for parameter in self.parameters:
            if parameter.grad is not None and parameter.grad.is_sparse:
                parameter.grad = parameter.grad.coalesce()  # a row once, as what follows needs it
        self.workers.add_up_all([p.grad for p in self.whole if p.grad is not None])
        if self.trainer.clip is not None:
            norm = clip_gradients(self.parameters, self.workers, self.trainer.clip)
            if not math.isfinite(norm):
                raise TrainingDiverged(f"the gradient's norm became {norm} at {where}; lower lr")
        for optimizer in self.task.optimizers:
            optimizer.step()
        return parts

    def _set_rates(self, batches: int) -> None:
        if self.trainer.schedule == "constant":
            return
        done = (self.at.epoch + self.at.batch / batches) / self.trainer.epochs
        for optimizer, rates in zip(self.task.optimizers, self.rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * max(0.02, 1 - done)

    def keep_best(self) -> None:
        """Puts the best weights into the module."""
        if self.best_weights:
            self.task.module.load_state_dict(self.best_weights)
        self.task.module.zero_grad(set_to_none=True)  # gradients take as much memory as weights
        self.task.module.eval()
        for logger in self.loggers or ():
            logger.close()

    def save(self) -> None:
        """Writes a checkpoint beside the old one and exchanges them."""
        self.saved_at = time.monotonic()
        if self.context.checkpoints is None or not (self.workers.leads or self.shards):
            return
        parts = {"module": self.task.module.state_dict(), "best": self.best_weights, "epoch": self.kept}
        state = {f"{part}/{n}": t for part, tensors in parts.items() for n, t in tensors.items()}
        facts = {"progress": json.dumps(asdict(self.at))}
        state |= flat_states(self.task.optimizers)
        save_checkpoint(self.context.checkpoints, state, facts, self.owner, self.workers)

    def resume(self) -> None:
        """Takes up the checkpoint, if there is one."""
        directory = self.context.checkpoints
        saved = open_checkpoint(directory) if directory is not None else None
        if directory is None or saved is None:
            return
        with reading(directory / MAIN, "discard it with resume=false"):
            at = Progress(**json.loads(saved.facts["progress"]))
        remedy = "discard it with resume=false, or give run=<another name>"
        foreign = f"{directory / MAIN} is of a run with other options; {remedy}"
        if at.metric != self.at.metric:
            raise BundleError(f"{foreign} (it watches {at.metric}, this one {self.at.metric})")
        try:
            self.task.module.load_state_dict(saved.part("module/", self.owner))
        except RuntimeError as error:
            raise BundleError(foreign) from error
        self.best_weights, self.kept = saved.part("best/", self.owner), saved.part("epoch/", self.owner)
        load_flat_states(self.task.optimizers, saved, self.owner)
        self.at = at

    def _log(self) -> None:
        if self.context.logs is None or not self.workers.leads:
            return
        if self.loggers is None:
            name = self.context.logs.parent.name.strip(".").removesuffix(".training")
            self.loggers = [LOGGERS[kind](self.context.logs, name) for kind in check_loggers(self.context.loggers)]
        figures = {name: value for name, value in self.at.history[-1].items() if name != "epoch"}
        for logger in self.loggers:
            logger.write(figures, int(self.at.history[-1]["epoch"]))
