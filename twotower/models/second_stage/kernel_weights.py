"""`KernelWeights`: how alike a candidate and an event are, in several ways, and what that says of the candidate."""

from dataclasses import asdict, dataclass
from typing import Self

import numpy as np

from twotower.models.second_stage.kernel_parts import EARTH, NEAR, Looked
from twotower.types import Array, Floats

LARGEST_SQUARE = 25.0
"""A gap of five standard deviations is as far as any larger one."""


@dataclass(frozen=True, eq=False)
class KernelWeights:
    """Weights of the kernel, see `ContentKernel`. H heads, F ways to be alike, C categorical columns.

    Attributes:
        alike: θ of `likeness`; those of distances are not negative. Shape [H, F].
        active: β of the forecast inside a head's kernel. Shape [H].
        decay: power of the age with which an event's worth falls. Shape [H].
        share: of each head in the mixture. Shape [H].
        exposed: power of the forecast in the background. Shape [1].
        background: π. Shape [1].
        usual: power of the share of the user's events with the item's value. Shape [C].
        home: power of the distance from the user's median place. Shape [1].
    """

    alike: Floats
    active: Floats
    decay: Floats
    share: Floats
    exposed: Floats
    background: Floats
    usual: Floats
    home: Floats

    @classmethod
    def none(cls, n_ways: int, n_columns: int) -> Self:
        """One head to which everything is alike, before learning."""
        sizes = {"alike": (1, n_ways), "active": 1, "decay": 1, "exposed": 1, "usual": n_columns, "home": 1}
        zeros = {name: np.zeros(size, np.float32) for name, size in sizes.items()}
        return cls(**zeros, share=np.ones(1, np.float32), background=np.full(1, 0.1, np.float32))

    def to_arrays(self) -> dict[str, Array]:
        """All weights by their names."""
        return asdict(self)

    def log_kernels(self, items: Looked, history: Looked) -> Floats:
        """Log of every head's K of every item and event. Shape [H, n, L]."""
        ways = likeness(items, history)
        n, length = ways.shape[1:]
        flat = self.alike @ ways.reshape(len(ways), n * length)
        return flat.reshape(len(flat), n, length) + self.active[:, None, None] * items.exposure[:, None]

    def log_taste(self, kernels: Floats, normal: Floats, age: Floats) -> Floats:
        """Log of Σ of what every head and event says of each item. Shape [n].

        Args:
            kernels: in logarithms. Shape [H, n, L].
            normal: log of the sum of the kernel over the catalogue, of every head and event. Shape [H, L].
            age: of the events in days. Shape [L].
        """
        worth = -self.decay[:, None] * np.log1p(age)
        said = worth - log_sum(worth)[:, None] + np.log(self.share)[:, None] - normal  # [H, L]
        joined = kernels + said[:, None]
        return log_sum(joined.transpose(1, 0, 2).reshape(joined.shape[1], -1))

    def log_probability(self, by_taste: Floats, exposure: Floats, usual: Floats, from_home: Floats) -> Floats:
        """Log of P of each item, up to a number that all share. Shape [n].

        Args:
            by_taste: of `log_taste`. Shape [n].
            exposure: log of b, which adds up to 1 over the catalogue. Shape [n].
            usual: log of the share of all the user's events with the item's value, by column. Shape [n, C].
            from_home: log distance from the user's median place. Shape [n].
        """
        share = float(self.background[0])
        joined = np.logaddexp(np.log1p(-share) + by_taste, np.log(share) + exposure)
        return np.asarray(joined + usual @ self.usual - self.home * from_home, np.float32)


def likeness(items: Looked, history: Looked) -> Floats:
    """In which ways each item is like each event. Shape [F, n, L].

    1 where a categorical column agrees, the cosine of columns of several values, minus the gap of a number and minus
    its square, minus log(1 + km / 50); 0 of what either does not say.
    """
    n_codes, n_sets, n_numbers = items.codes.shape[1], items.sets.shape[1], items.numbers.shape[1]
    ways = np.empty((n_ways(items), len(items.codes), len(history.codes)), np.float32)
    wanted = np.where(history.codes < 0, -2, history.codes)
    for c in range(n_codes):
        ways[c] = items.codes[:, c, None] == wanted[:, c]
    for m in range(n_sets):
        ways[n_codes + m] = items.sets[:, m] @ history.sets[:, m].T
    first = n_codes + n_sets
    for g in range(n_numbers):
        gap = np.nan_to_num(np.abs(items.numbers[:, g, None] - history.numbers[:, g]))
        ways[first + g], ways[first + n_numbers + g] = -gap, -np.minimum(gap * gap, LARGEST_SQUARE)
    if items.places.shape[1]:
        ways[-1] = -log_distance(items.places, history.places)
    return ways


def n_ways(items: Looked) -> int:
    """How many ways there are to be alike: F."""
    n_numbers: int = items.numbers.shape[1]
    return n_free(items) + 2 * n_numbers + bool(items.places.shape[1])


def n_free(items: Looked) -> int:
    """How many of them may have weights of either sign: columns. The others are distances."""
    n_codes, n_sets = items.codes.shape[1], items.sets.shape[1]
    return int(n_codes + n_sets)


def log_sum(values: Floats) -> Floats:
    """Log of Σ exp over the last axis."""
    most = values.max(axis=-1, keepdims=True)
    return np.asarray(np.log(np.exp(values - most).sum(axis=-1)) + most[..., 0])


def log_distance(a: Floats, b: Floats) -> Floats:
    """Log of 1 + km / 50 of points on the sphere, 0 where one is missing. [n, 3], [L, 3] → [n, L]."""
    squared = np.clip(2 - 2 * (a @ b.T), 0, 4)
    return np.asarray(np.nan_to_num(np.log1p(np.sqrt(squared) * np.float32(EARTH / NEAR))), np.float32)
