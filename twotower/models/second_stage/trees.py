"""`Trees`: gradient-boosted trees over pair features, kept as plain arrays."""

from dataclasses import dataclass, field

from sklearn.ensemble import HistGradientBoostingClassifier

from twotower.models.second_stage.examples import Examples
from twotower.models.second_stage.grown_trees import GrownTrees
from twotower.models.second_stage.scorer import Scorer
from twotower.training.context import FitContext
from twotower.types import Array, Floats


@dataclass(kw_only=True, eq=False)
class Trees(Scorer):
    """Σ of trees, each fitted to the gradient of the binary log-loss that the ones before it leave.

    Source: Friedman 2001, "Greedy function approximation: a gradient boosting machine"; histograms and growth by leaf
    as in LightGBM (Ke et al. 2017), by scikit-learn's `HistGradientBoostingClassifier`.

    Attributes:
        n_trees: how many.
        learning_rate: share of each that is added.
        n_leaves: most leaves of a tree.
        min_leaf: examples that a leaf needs.
        l2: ridge term of leaf values.
        seed: of the binning's sample.
    """

    n_trees: int = 300
    learning_rate: float = 0.05
    n_leaves: int = 31
    min_leaf: int = 50
    l2: float = 1.0
    seed: int = 0
    _grown: GrownTrees | None = field(default=None, init=False)

    def fit(self, examples: Examples, context: FitContext) -> None:
        """Grows all trees; nothing is held out, since candidates of one query must not stand on both sides."""
        booster = HistGradientBoostingClassifier(
            max_iter=self.n_trees,
            learning_rate=self.learning_rate,
            max_leaf_nodes=self.n_leaves,
            min_samples_leaf=self.min_leaf,
            l2_regularization=self.l2,
            early_stopping=False,
            random_state=self.seed,
        )
        booster.fit(examples.features, examples.positive)
        self._grown = GrownTrees.of(booster)

    def scores(self, features: Floats) -> Floats:
        """Log-odds. [P, F] → [P]."""
        assert self._grown is not None
        return self._grown.values(features)

    def state(self) -> dict[str, Array]:
        """Nodes of all trees."""
        return {} if self._grown is None else self._grown.to_arrays()

    def set_state(self, state: dict[str, Array]) -> None:
        """Takes back what `state` gave."""
        self._grown = GrownTrees(**state) if state else None
