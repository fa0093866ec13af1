"""`Report`: the result of a contest as plain data; how it is written or drawn is up to the writers."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from twotower.errors import BadInput
from twotower.evaluation.families import OURS, is_foreign
from twotower.evaluation.results import Calibration, Gain, IndexCost, ModelFacts, PeerCheck, Row, SliceRow, StageGain
from twotower.evaluation.rows import MomentRow, OrderRow, RivalRow
from twotower.metrics.metric import Metric

FORMAT = 4
"""Version of `report.json`."""
READABLE = (1, 2, 3, FORMAT)
"""Versions that are read: those of format 1 lack slices, gains, checks and families, which format 2 calls kinds."""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything needed to read, repeat and doubt a contest; only text, numbers, lists and maps.

    Attributes:
        dataset: name, fingerprint, users, items, events.
        split: name, training events, users and targets of validation and test.
        seed: of bootstrap, permutation and the random subsets of searches.
        level: of the intervals, e.g. 0.95.
        resamples: of bootstrap and permutation test.
        ks: the cut-offs of lists; none where no contender gives lists.
        primary: the metric by which models are ordered, e.g. "map@10" or "rmse".
        baseline: the contender that the others are tested against, or None.
        models: the contenders in the order they ran.
        rows: contenders x metrics x cut-offs, as far as a contender was measured by them.
        config: the options of the run as given.
        machine: where it ran.
        versions: with what.
        created: when it ended, ISO 8601 UTC.
        wall_seconds: all of it.
        peak_memory_bytes: of the process.
        index_costs: of the contenders that ask an index.
        slices: the primary metric and recall for parts of the users and of the targets.
        moments: the primary metric and recall at every moment of a rolling test.
        gains: of ours over the others, by the primary metric, at every cut-off if it has one.
        other_order: contenders under both orders of equal times, where that was asked for.
        rivals: the best of ours beside every rival, by every metric.
        peer_checks: our forms of methods beside those of other libraries.
        stage_gains: what contenders add to those that they build upon.
        calibration: of the scorer's probabilities, if a run has one.
        memory_apart: whether peaks of memory are each model's own.
    """

    dataset: Mapping[str, Any]
    split: Mapping[str, Any]
    seed: int
    level: float
    resamples: int
    ks: tuple[int, ...]
    primary: str
    baseline: str | None
    models: tuple[ModelFacts, ...]
    rows: tuple[Row, ...]
    config: Mapping[str, Any]
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    created: str
    wall_seconds: float
    peak_memory_bytes: int
    index_costs: tuple[IndexCost, ...] = ()
    slices: tuple[SliceRow, ...] = ()
    moments: tuple[MomentRow, ...] = ()
    gains: tuple[Gain, ...] = ()
    other_order: tuple[OrderRow, ...] = ()
    rivals: tuple[RivalRow, ...] = ()
    peer_checks: tuple[PeerCheck, ...] = ()
    stage_gains: tuple[StageGain, ...] = ()
    calibration: Calibration | None = None
    memory_apart: bool = False

    def __repr__(self) -> str:
        best = self.ranking()[0].name if self.models else "nobody"
        return f"<Report on {self.dataset['name']}: {len(self.models)} models, best by {self.primary}: {best}>"

    def row(self, model: str, metric: str) -> Row:
        """One row, e.g. `report.row("als", "map@10")`."""
        for row in self.rows:
            if row.model == model and row.key == metric:
                return row
        raise BadInput(f"the report has no {metric} of {model}; models: {', '.join(m.name for m in self.models)}")

    def ranking(self) -> list[ModelFacts]:
        """The contenders, best first by the primary metric."""
        sign = Metric.parse(self.primary).sign
        return sorted(self.models, key=lambda model: -sign * self.row(model.name, self.primary).mean)

    def keys(self, metric: str) -> list[str]:
        """A metric as it was measured, e.g. "map" at every cut-off (["map@1", "map@10"]) or ["rmse"]."""
        return list(dict.fromkeys(row.key for row in self.rows if row.metric == metric))

    def measured(self, metric: str) -> list[ModelFacts]:
        """The contenders that a metric was measured for, e.g. "rmse", in the order of the ranking."""
        names = {row.model for row in self.rows if row.metric == metric}
        return [model for model in self.ranking() if model.name in names]

    def hero(self) -> ModelFacts:
        """The best of our contenders that answer in service; where none is said to be ours, the best of all."""
        ranked = self.ranking()
        return next((model for model in ranked if model.family == OURS), ranked[0])

    def foreign(self) -> list[ModelFacts]:
        """The contenders that the hero stands against, best first."""
        hero = self.hero()
        return [model for model in self.ranking() if is_foreign(model.family) and model.name != hero.name]

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics, in the order of the rows."""
        return list(dict.fromkeys(row.metric for row in self.rows))

    def to_json(self) -> str:
        """JSON text (no NaN), read back by `from_json`."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2, allow_nan=False, default=str) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads what `to_json` wrote.

        Raises:
            BadInput: the text is of another format version.
        """
        facts = json.loads(text)
        version = facts.pop("format", None)
        if version not in READABLE:
            raise BadInput(
                f"this report is of format {version}, this version reads {READABLE}; run the evaluation again"
            )
        if version == 2:
            facts["models"] = [{"family": model.pop("kind"), **model} for model in facts["models"]]
        for name, kind in _LISTS.items():
            facts[name] = tuple(kind(**_with_tuples(kind, part)) for part in facts.get(name, ()))
        if facts.get("calibration"):
            facts["calibration"] = Calibration(**_with_tuples(Calibration, facts["calibration"]))
        return cls(**{**facts, "ks": tuple(facts["ks"])})


_LISTS: Mapping[str, type[Any]] = {
    "models": ModelFacts,
    "rows": Row,
    "index_costs": IndexCost,
    "slices": SliceRow,
    "moments": MomentRow,
    "gains": Gain,
    "other_order": OrderRow,
    "rivals": RivalRow,
    "peer_checks": PeerCheck,
    "stage_gains": StageGain,
}
"""Fields of a `Report` that hold several values of a class."""


def _with_tuples(kind: type[Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has lists where the class has tuples."""
    lists = {field.name for field in fields(kind) if str(field.type).startswith("tuple")}
    return {name: tuple(value) if name in lists else value for name, value in facts.items()}
