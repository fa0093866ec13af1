"""`Report`: the result of a benchmark as plain data; how it is written or drawn is up to the writers."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from twotower.errors import BadInput
from twotower.evaluation.findings import Calibration, Gain, PeerCheck, SliceRow, StageGain
from twotower.evaluation.kinds import OTHER, OURS, is_foreign

FORMAT = 2
"""Version of `report.json`."""
READABLE = (1, FORMAT)
"""Versions that are read: those of format 1 lack slices, gains, checks and kinds."""


@dataclass(frozen=True, slots=True)
class Row:
    """One metric of one model.

    Attributes:
        model: the contender's name.
        metric: e.g. "map".
        k: the cut-off.
        mean: over the users.
        low: lower end of the bootstrap interval.
        high: upper end.
        difference: mean minus the baseline's mean; None for the baseline itself or without one.
        p_value: of "no difference from the baseline" (paired permutation test, two-sided); None as above.
        p_holm: the same, corrected for all models that are tested by this metric at this cut-off.
        sd: standard deviation between the means of several seeds; None where there is one fit.
    """

    model: str
    metric: str
    k: int
    mean: float
    low: float
    high: float
    difference: float | None = None
    p_value: float | None = None
    p_holm: float | None = None
    sd: float | None = None


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """How one contender came about and what it cost.

    Attributes:
        name: the contender's name.
        options: what it was fitted with.
        trials: options, score on validation, seconds and error of every trial.
        tuned_on: the metric that the trials maximised, None if nothing was tuned.
        grid_size: combinations of the search, tried or not; 0 where options have ranges.
        tune_seconds: wall time of all trials.
        fit_seconds: wall time of the last fit.
        evaluate_seconds: wall time of the examination.
        users_per_second: of the examination.
        peak_memory_bytes: the most that the process held while this contender was tuned, fitted and examined, with what
            it held before; where the system cannot tell that (`Report.memory_apart`), the most so far.
        catalogue: coverage@k, gini@k, novelty@k, popularity_bias@k, diversity@k.
        at_border: options whose best value lies at the border of what was tried.
        kind: what it is, a key of `kinds.KINDS`.
        seeds: of the fits that were averaged user by user; empty where there is one.
    """

    name: str
    options: Mapping[str, Any]
    trials: tuple[Mapping[str, Any], ...]
    tuned_on: str | None
    grid_size: int
    tune_seconds: float
    fit_seconds: float
    evaluate_seconds: float
    users_per_second: float
    peak_memory_bytes: int
    catalogue: Mapping[str, float | None]
    at_border: tuple[str, ...] = ()
    kind: str = OTHER
    seeds: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class IndexCost:
    """What one contender loses because it asks an approximate index.

    Attributes:
        model: the contender.
        index: the index in words.
        is_exact: the index loses nothing; then nothing is compared and the difference is 0.
        metric: e.g. "map@10".
        mean: with the index.
        exact_mean: with exact retrieval.
        difference: the first minus the second.
        low: lower end of the bootstrap interval of the difference.
        high: upper end.
        p_value: of "no difference" (paired permutation test, two-sided); None if the index is exact.
    """

    model: str
    index: str
    is_exact: bool
    metric: str
    mean: float
    exact_mean: float
    difference: float
    low: float
    high: float
    p_value: float | None

    @property
    def relative(self) -> float | None:
        """The difference as a share of what exact retrieval reaches; None if that is nothing."""
        return self.difference / self.exact_mean if self.exact_mean > 0 else None


@dataclass(frozen=True, slots=True)
class Report:
    """Everything needed to read, repeat and doubt a benchmark; only text, numbers, lists and maps.

    Attributes:
        dataset: name, fingerprint, users, items, events.
        split: name, training events, users and targets of validation and test.
        seed: of bootstrap, permutation and the random subsets of searches.
        level: of the intervals, e.g. 0.95.
        resamples: of bootstrap and permutation test.
        ks: the cut-offs.
        primary: the metric by which models are ordered, e.g. "map@10".
        baseline: the contender that the others are tested against, or None.
        models: the contenders in the order they ran.
        rows: contenders x metrics x cut-offs.
        config: the options of the run as given.
        machine: where it ran.
        versions: with what.
        created: when it ended, ISO 8601 UTC.
        wall_seconds: all of it.
        peak_memory_bytes: of the process.
        index_costs: of the contenders that ask an index.
        slices: the primary metric and recall for parts of the users and of the targets.
        gains: of ours over the others, by the primary metric at every cut-off.
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
    gains: tuple[Gain, ...] = ()
    peer_checks: tuple[PeerCheck, ...] = ()
    stage_gains: tuple[StageGain, ...] = ()
    calibration: Calibration | None = None
    memory_apart: bool = False

    def row(self, model: str, metric: str) -> Row:
        """One row, e.g. `report.row("als", "map@10")`."""
        for row in self.rows:
            if row.model == model and f"{row.metric}@{row.k}" == metric:
                return row
        raise BadInput(f"the report has no {metric} of {model}; models: {', '.join(m.name for m in self.models)}")

    def ranking(self) -> list[ModelFacts]:
        """The contenders, best first by the primary metric."""
        return sorted(self.models, key=lambda model: -self.row(model.name, self.primary).mean)

    def hero(self) -> ModelFacts:
        """The best of our contenders that answer in service; where none is said to be ours, the best of all."""
        ranked = self.ranking()
        return next((model for model in ranked if model.kind == OURS), ranked[0])

    def foreign(self) -> list[ModelFacts]:
        """The contenders that the hero stands against, best first."""
        hero = self.hero()
        return [model for model in self.ranking() if is_foreign(model.kind) and model.name != hero.name]

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
        found = facts.pop("format", None)
        if found not in READABLE:
            raise BadInput(f"this report is of format {found}, this version reads {READABLE}; run the evaluation again")
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
    "gains": Gain,
    "peer_checks": PeerCheck,
    "stage_gains": StageGain,
}
"""Fields of a `Report` that hold several values of a class."""


def _with_tuples(kind: type[Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has lists where the class has tuples."""
    lists = {field.name for field in fields(kind) if str(field.type).startswith("tuple")}
    return {name: tuple(value) if name in lists else value for name, value in facts.items()}
