"""`Progress`: how far a training has come, and how it is shown: a bar inside an epoch, a line at its end."""

import sys
from dataclasses import dataclass, field
from typing import Never

from tqdm import tqdm


@dataclass(slots=True)
class Progress:
    """How far training has come; all of it goes into a checkpoint.

    Attributes:
        epoch: epochs done.
        batch: batches done of the next one.
        metric: what is watched after every epoch; None: nothing.
        best: its best figure; None before the first, and where nothing is watched.
        best_epoch: from 0; where nothing is watched the last one.
        seconds: spent on training, validation left out.
        examples: trained on, repeats counted.
        sums: of the loss and its terms over the batches of the epoch.
        history: a row an epoch: "epoch", "seconds", the means of `sums`, and "validation" where it is watched.
    """

    epoch: int = 0
    batch: int = 0
    metric: str | None = None
    best: float | None = None
    best_epoch: int = -1
    seconds: float = 0.0
    examples: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)

    def newest(self, epochs: int, rate: float) -> str:
        """The newest row in words.

        Args:
            epochs: how many there are to be.
            rate: examples a second in that epoch.

        >>> row = {"epoch": 2, "seconds": 41.2, "loss": 1.23456, "validation": 0.12341}
        >>> Progress(metric="map@10", best=0.124, best_epoch=1, history=[row]).newest(12, 12345)
        'epoch 3/12: loss 1.2346, map@10 0.1234 (best 0.1240 at epoch 2), 12,345 examples/s, 41 s so far'
        """
        row = self.history[-1]
        parts = [f"loss {row['loss']:.4f}"]
        if "validation" in row:
            parts += [f"{self.metric} {row['validation']:.4f} (best {self.best:.4f} at epoch {self.best_epoch + 1})"]
        parts += [f"{rate:,.0f} examples/s", f"{row['seconds']:,.0f} s so far"]
        return f"epoch {int(row['epoch']) + 1}/{epochs}: {', '.join(parts)}"


def epoch_bar(name: str, total: int, first: int, *, shown: bool) -> "tqdm[Never]":
    """A bar over the batches of an epoch on standard error, gone at its end; a file gets none.

    Args:
        name: stands before it.
        total: batches of the epoch.
        first: batches done before.
        shown: whether anybody wants to see it.
    """
    return tqdm(
        desc=name,
        total=total,
        initial=first,
        unit="batch",
        leave=False,
        dynamic_ncols=True,
        disable=not (shown and sys.stderr.isatty()),
    )


def tell(line: str) -> None:
    """Writes a line on standard output at once, so that a file shows it while the training goes on."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
