"""`Metric`: what is measured, at which cut-off, which way is better, and what people read for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from twotower.errors import BadConfig
from twotower.text import near

Better = Literal["higher", "lower"]
Needs = Literal["lists", "grades", "values", "outcomes"]
"""Ranked lists; lists of targets with grades; predicted values; predictions of outcomes 0 or 1."""


@dataclass(frozen=True, slots=True)
class MetricFacts:
    """What is known of a metric whatever its cut-off.

    Attributes:
        label: what people read; "{k}" stands for the cut-off.
        meaning: its definition.
        needs: what it is measured on.
        better: which way.
    """

    label: str
    meaning: str
    needs: Needs = "lists"
    better: Better = "higher"

    @property
    def of_lists(self) -> bool:
        """Whether it is about ranked lists, not about predicted values."""
        return self.needs in ("lists", "grades")


METRIC_FACTS: Mapping[str, MetricFacts] = {
    "map": MetricFacts("map@{k}[min]", "mean average precision, divisor min(k, relevant items)"),
    "precision": MetricFacts("precision@{k}", "mean of hits / k (some papers call this MAP@k)"),
    "recall": MetricFacts("recall@{k}", "mean of hits / relevant items"),
    "ndcg": MetricFacts("ndcg@{k}", "binary gains, discount log2(rank + 1), ideal of min(k, relevant items) hits"),
    "mrr": MetricFacts("mrr@{k}", "mean of 1 / rank of the first hit within k, else 0"),
    "hit_rate": MetricFacts("hit_rate@{k}", "share of users with a hit within k"),
    "f1": MetricFacts("f1@{k}", "mean of 2 hits / (k + relevant items)"),
    "map_rel": MetricFacts("map@{k}[rel]", "mean average precision, divisor relevant items, as trec_eval"),
    "ndcg_linear": MetricFacts(
        "ndcg@{k}[linear]", "graded gains, gain = grade, discount log2(rank + 1)", needs="grades"
    ),
    "ndcg_exp": MetricFacts(
        "ndcg@{k}[exp]", "graded gains, gain = 2^grade - 1, discount log2(rank + 1)", needs="grades"
    ),
    "rmse": MetricFacts("RMSE", "root of the mean squared error over pairs, in units of the value", "values", "lower"),
    "mae": MetricFacts("MAE", "mean absolute error over pairs, in units of the value", "values", "lower"),
    "auc": MetricFacts(
        "AUC", "chance that an outcome 1 is predicted above a 0 of the same user, mean over users with both", "outcomes"
    ),
    "log_loss": MetricFacts(
        "log-loss", "mean negative log-likelihood of the outcomes over pairs, in nats", "outcomes", "lower"
    ),
}
"""Metric to what is known of it."""
VALUE_METRICS = tuple(name for name, facts in METRIC_FACTS.items() if not facts.of_lists)


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of lists at a cut-off, such as map@10, or one of predicted values, such as rmse.

    Attributes:
        name: a key of `METRIC_FACTS`.
        k: the cut-off; None for metrics of predicted values, which have none.

    Raises:
        BadConfig: an unknown name, or a cut-off that is missing, below 1 or out of place.

    >>> Metric("map", 10).label, Metric("rmse").better, str(Metric.parse("ndcg@5"))
    ('map@10[min]', 'lower', 'ndcg@5')
    """

    name: str
    k: int | None = None

    def __post_init__(self) -> None:
        facts_of(self.name)
        if self.of_lists and (self.k is None or self.k < 1):
            raise BadConfig(f"metric {self!s:.60}: {self.name} needs a cut-off from 1, e.g. {self.name}@10")
        if not self.of_lists and self.k is not None:
            raise BadConfig(f"metric {self}: {self.name} is over pairs and has no cut-off; write {self.name}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The metric of "map@10" or "rmse".

        Raises:
            BadConfig: it is none.
        """
        name, k = name_and_cut_off(text)
        facts_of(name)
        if k is None or k.isdecimal():
            return cls(name, None if k is None else int(k))
        raise BadConfig(f"metric {text!r}: the cut-off {k!r} must be a whole number from 1, e.g. {name}@10")

    def __str__(self) -> str:
        """As it is typed and as figures are keyed, e.g. "map@10"."""
        return self.name if self.k is None else f"{self.name}@{self.k}"

    @property
    def label(self) -> str:
        """What people read."""
        return facts_of(self.name).label.format(k=self.k)

    @property
    def meaning(self) -> str:
        """Its definition as a sentence."""
        return sentence(facts_of(self.name).meaning)

    @property
    def needs(self) -> Needs:
        """What it is measured on."""
        return facts_of(self.name).needs

    @property
    def of_lists(self) -> bool:
        """Whether it is about ranked lists, not about predicted values."""
        return facts_of(self.name).of_lists

    @property
    def better(self) -> Better:
        """Which way is better."""
        return facts_of(self.name).better

    @property
    def sign(self) -> int:
        """What makes more of it better: 1 where higher is better, else -1."""
        return 1 if self.better == "higher" else -1

    @property
    def is_linear(self) -> bool:
        """Whether its figure is the ratio of sums itself, so that differences are such ratios too."""
        return self.name != "rmse"

    def figure(self, ratio: NDArray[np.float64]) -> NDArray[np.float64]:
        """The figure of a ratio of sums over users: the ratio itself, of squared errors its root.

        >>> Metric("rmse").figure(np.array([9.0])).tolist(), Metric("mae").figure(np.array([9.0])).tolist()
        ([3.0], [9.0])
        """
        return ratio if self.is_linear else np.sqrt(ratio)

    def over(self, ks: Sequence[int]) -> tuple["Metric", ...]:
        """The same at every cut-off; itself alone where it has none."""
        return tuple(Metric(self.name, k) for k in ks) if self.of_lists else (self,)


def name_and_cut_off(text: str) -> tuple[str, str | None]:
    """Both sides of the @; a text without one is a name alone.

    >>> name_and_cut_off("map@10"), name_and_cut_off("rmse")
    (('map', '10'), ('rmse', None))
    """
    name, at, k = text.partition("@")
    return name, k if at else None


def facts_of(name: str) -> MetricFacts:
    """What is known of a metric.

    Raises:
        BadConfig: there is none of this name.
    """
    if name not in METRIC_FACTS:
        raise BadConfig(f"metric {name!r} is unknown; {near(name, METRIC_FACTS)}")
    return METRIC_FACTS[name]


def sentence(text: str) -> str:
    """A definition with a capital letter and a full stop."""
    return f"{text[0].upper()}{text[1:]}."
