"""`Task`: what the training loop asks of a model that is trained."""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn


class Task(Protocol):
    """What is trained: the loop knows nothing of users or items."""

    @property
    def module(self) -> nn.Module:
        """The networks."""
        ...

    @property
    def optimizers(self) -> list[torch.optim.Optimizer]:
        """Of the networks' parameters."""
        ...

    def batches(self, epoch: int, start: int) -> Iterator[tuple[int, Callable[[], tuple[Tensor, dict[str, float]]]]]:
        """Batches of an epoch from number `start` on: their number of examples, and a function that gives the loss.

        Of several processes each gives its share: the loss of the batch is the sum of what they give.
        """
        ...

    def n_batches(self, epoch: int) -> int:
        """Batches of an epoch."""
        ...

    def start_epoch(self, epoch: int, kept: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Called with nothing before the first batch of an epoch; gives what its steps need besides the networks.

        Checkpoints keep that, and an epoch that is resumed is started with it.
        """
        ...
