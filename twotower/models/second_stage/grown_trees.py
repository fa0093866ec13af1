"""`GrownTrees`: boosted trees of scikit-learn as plain arrays, which can be kept without pickle."""

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from twotower.types import Array, Floats, Ids

BLOCK = 8_192
"""Pairs that go down the trees at once: their places stay in the processor's caches."""


@dataclass(frozen=True, eq=False)
class GrownTrees:
    """Nodes of all trees, one after the other; a leaf leads to itself.

    Attributes:
        feature: column that a node asks. Shape [nodes].
        threshold: values up to it go left. Shape [nodes].
        missing_left: whether NaN goes left, 0 or 1. Shape [nodes].
        left, right: where it goes on, as numbers of nodes. Shapes [nodes].
        value: of leaves. Shape [nodes].
        roots: first node of each tree. Shape [trees].
        depth: most steps from root to leaf. Shape [1].
        base: added to the sum of the leaves. Shape [1].
    """

    feature: Array
    threshold: Array
    missing_left: Array
    left: Array
    right: Array
    value: Array
    roots: Array
    depth: Array
    base: Array

    @classmethod
    def of(cls, booster: Any) -> Self:
        """Takes the trees of a fitted `HistGradientBoosting…` with one output and no categorical column."""
        trees = [tree.nodes for (tree,) in booster._predictors]
        roots = np.concatenate([[0], np.cumsum([len(nodes) for nodes in trees])]).astype(np.int32)
        nodes, first = np.concatenate(trees), np.repeat(roots[:-1], np.diff(roots))
        own, leaf = np.arange(len(nodes), dtype=np.int32), nodes["is_leaf"].astype(bool)
        return cls(
            feature=np.where(leaf, 0, nodes["feature_idx"]).astype(np.int32),
            threshold=np.where(leaf, 0, np.minimum(nodes["num_threshold"], np.finfo(np.float32).max)).astype(
                np.float32
            ),
            missing_left=nodes["missing_go_to_left"].astype(np.uint8),
            left=np.where(leaf, own, nodes["left"].astype(np.int32) + first).astype(np.int32),
            right=np.where(leaf, own, nodes["right"].astype(np.int32) + first).astype(np.int32),
            value=nodes["value"].astype(np.float32),
            roots=roots[:-1],
            depth=np.array([max(int(tree["depth"].max()) for tree in trees)], np.int32),
            base=np.ravel(booster._baseline_prediction).astype(np.float32),
        )

    def values(self, features: Floats) -> Floats:
        """Base and leaves, summed in float64: log-odds or log of a mean. [P, F] → [P]."""
        blocks = [self._of_block(features[i : i + BLOCK]) for i in range(0, len(features), BLOCK)]
        return np.concatenate(blocks) if blocks else np.empty(0, np.float32)

    def _of_block(self, features: Floats) -> Floats:
        """All pairs go down each tree together, a level at a time."""
        total, row = np.full(len(features), float(self.base[0])), np.arange(len(features))
        for root in self.roots:
            total += self.value[self._leaves(features, int(root), row)]
        return total.astype(np.float32)

    def _leaves(self, features: Floats, root: int, row: Ids) -> Ids:
        at = np.full(len(features), root, np.int32)
        for _ in range(int(self.depth[0])):
            value = features[row, self.feature[at]]
            goes_left = (value <= self.threshold[at]) | (np.isnan(value) & (self.missing_left[at] == 1))
            following = np.where(goes_left, self.left[at], self.right[at])
            if np.array_equal(following, at):
                break
            at = following
        return np.asarray(at, np.int64)

    def to_arrays(self) -> dict[str, Array]:
        """All arrays by their names."""
        return asdict(self)
