"""Contenders made of published runs: their stages, alone and together, over the index and over exact retrieval."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from twotower.config.compose import instantiate
from twotower.errors import BadConfig
from twotower.evaluation.contest import Entrant
from twotower.evaluation.families import OURS, STAGE
from twotower.evaluation.follow import Follow
from twotower.evaluation.index_cost import IndexUse
from twotower.protocols import Recommender
from twotower.runs.bundle import Bundle
from twotower.runs.following import RunInTime
from twotower.runs.served_run import ServedRun
from twotower.stages.recommender import FirstStage, GoldStandard, TwoStageRecommender
from twotower.stages.retriever import Retriever

GOLD = "RankNet on everything"
EXACTLY = " (exact retrieval)"
_NAMES_AND_PLACES = frozenset(("run", "runs_dir", "prepared", "resume", "progress", "device", "threads"))
_SEEDS = frozenset(("train.seed", "model.seed"))
"""Settings that change how a training goes and where it lies, not what comes out."""


@dataclass(frozen=True, slots=True)
class StageNames:
    """What the contenders of a run are called.

    Attributes:
        first: the first stage alone.
        both: both stages; None where the run has one.
    """

    first: str
    both: str | None = None

    @classmethod
    def of(cls, served: ServedRun, bundle: Bundle) -> "StageNames":
        """Those of the two-tower system, or of any other model after its name in `conf/model`."""
        model = str(bundle.config().get("model_name", "model"))
        first, arrow, _ = model.partition(" → ")
        if arrow:
            return cls(f"{first} (this run)", model)
        if model == "two_tower":
            return cls("towers", "towers + RankNet")
        return cls(f"{model} (this run)", f"{model} + second stage" if served.ranker else None)


@dataclass(frozen=True, slots=True)
class RunContenders:
    """Contenders of one run, or of runs that differ in their seed only.

    Attributes:
        bundles: the runs.
        stages: name to contender.
        uses: contender to how it uses the run's index.
        builds_on: contender to the one without RankNet.
    """

    bundles: Sequence[Bundle]
    stages: Mapping[str, Entrant]
    uses: Mapping[str, IndexUse]
    builds_on: Mapping[str, str]


def grouped(bundles: Sequence[Bundle], *, pool_seeds: bool) -> list[list[Bundle]]:
    """Runs that differ in `train.seed` alone side by side, or every run for itself.

    Raises:
        BadConfig: seeds shall be pooled, but no two runs differ in their seed alone.
    """
    if not pool_seeds:
        return [[bundle] for bundle in bundles]
    groups: list[list[Bundle]] = []
    for bundle in bundles:
        alike = next((group for group in groups if not differences(group[0].config(), bundle.config())), None)
        if alike is None:
            groups.append([bundle])
        elif any(_seed(bundle) == _seed(other) for other in alike):
            raise BadConfig(f"eval.pool_seeds: run {bundle.name!r} repeats train.seed={_seed(bundle)}; leave it out")
        else:
            alike.append(bundle)
    if len(groups) == len(bundles):
        reason = "there is one run only"
        if len(bundles) > 1:
            apart = ", ".join(differences(bundles[0].config(), bundles[1].config()))
            reason = f"runs {bundles[0].name!r} and {bundles[1].name!r} also differ in {apart}"
        raise BadConfig(f"eval.pool_seeds: no two runs differ in train.seed alone; {reason}")
    return groups


def differences(one: Mapping[str, Any], other: Mapping[str, Any], under: str = "") -> list[str]:
    """Places in which two configurations differ, beside seed, names and places of runs."""
    places: list[str] = []
    for key in dict.fromkeys((*one, *other)):
        place, a, b = f"{under}{key}", one.get(key), other.get(key)
        if place in _NAMES_AND_PLACES or place in _SEEDS or a == b:
            continue
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            places += differences(a, b, f"{place}.")
        else:
            places.append(place)
    return places


def contenders_of(bundles: Sequence[Bundle], settings: Mapping[str, Any], *, prefix: str) -> RunContenders:
    """The first stage alone, both stages, RankNet over everything where wanted, and how they use the run's index.

    Where the index may lose something, the same two stages over exact retrieval stand beside them.

    Args:
        bundles: one run, or several that are averaged.
        settings: of the evaluation.
        prefix: begins every name.

    Raises:
        BadConfig: runs that are averaged have different indexes, or a strategy does not suit the index.
    """
    first, *others = bundles
    served = ServedRun.open(first.directory)
    names = StageNames.of(served, first)
    recommenders = {name: make() for name, make in _makers(served, first, names, settings).items()}
    for bundle in others:  # found now, not after hours
        _refuse_other_index(served, ServedRun.open(bundle.directory))
    stages = {
        prefix + name: Entrant(
            stage,
            _options_of(served, stage, bundles, settings),
            None,
            sum(float(bundle.manifest["train_seconds"]) for bundle in bundles) / len(bundles),
            OURS if name == (names.both or names.first) else STAGE,
            {_seed(bundle): partial(_stage, bundle, settings, name) for bundle in others},
            _seed(first),
            _in_time(served, first, names, settings, name),
        )
        for name, stage in recommenders.items()
    }
    uses = {}
    for name in filter(None, (names.first, names.both)) if isinstance(served.direct, Retriever) else ():
        exact = f"{prefix}{name}{EXACTLY}"
        uses[prefix + name] = IndexUse(_in_words(served, served.direct), exact if exact in stages else None)
    both = names.both or ""
    builds_on = {name: name.replace(both, names.first) for name in stages if both and both in name}
    return RunContenders(bundles, stages, uses, builds_on)


def pairing(retriever: Bundle, ranker: Bundle, settings: Mapping[str, Any]) -> RunContenders:
    """The first stage of one run under the second stage of another, and alone.

    Raises:
        BundleError: they were trained on different data.
    """
    served = ServedRun.open(retriever.directory, ranker=ranker.directory)
    n, popularity = int(settings["n_candidates"]), served.popularity_then
    first, both = retriever.name, f"{retriever.name} → {ranker.name}"
    stages = {
        first: TwoStageRecommender(served.direct, n_candidates=1, popularity=popularity),
        both: TwoStageRecommender(served.direct, served.ranker, n_candidates=n, popularity=popularity),
    }
    entrants = {
        name: Entrant(stage, _options_of(served, stage, (retriever, ranker), settings), family=STAGE)
        for name, stage in stages.items()
    }
    return RunContenders((retriever, ranker), entrants, {}, {both: first})


def _options_of(
    served: ServedRun, stage: Recommender, bundles: Sequence[Bundle], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Of which runs a contender is made, and how it finds and orders candidates."""
    ranked = isinstance(stage, TwoStageRecommender) and stage.ranker is not None
    return {
        "run": ", ".join(bundle.name for bundle in bundles),
        "seed": _seed(bundles[0]),
        "index": _index_of(served, stage),
        **({"n_candidates": int(settings["n_candidates"])} if ranked else {}),
    }


def _refuse_other_index(one: ServedRun, other: ServedRun) -> None:
    indexes = [type(getattr(run.direct, "index", None)).__name__ for run in (one, other)]
    if indexes[0] != indexes[1]:
        raise BadConfig(
            f"eval.pool_seeds: run {one.name!r} asks {indexes[0]}, run {other.name!r} {indexes[1]}; "
            "build the same index for both with `make build-index`"
        )


def _stage(bundle: Bundle, settings: Mapping[str, Any], name: str) -> Entrant:
    """One stage of a run that is opened for it."""
    served = ServedRun.open(bundle.directory)
    names = StageNames.of(served, bundle)
    stage = _makers(served, bundle, names, settings)[name]()
    return Entrant(stage, follow=_in_time(served, bundle, names, settings, name))


def _in_time(served: ServedRun, bundle: Bundle, names: StageNames, settings: Mapping[str, Any], name: str) -> Follow:
    """How a stage of a run follows a rolling test."""
    return RunInTime(served, lambda now: _makers(now, bundle, names, settings)[name]()).follow()


def _makers(
    served: ServedRun, bundle: Bundle, names: StageNames, settings: Mapping[str, Any]
) -> dict[str, Callable[[], Recommender]]:
    """Every stage by its name, to what makes it."""
    n, popularity = int(settings["n_candidates"]), served.popularity_then
    makers: dict[str, Callable[[], Recommender]] = {}
    if served.model.predicts_values:  # stages would hide what it predicts
        return {names.first: lambda: served.model}
    for suffix, retriever in _first_stages(served, settings["strategies"]).items():
        makers[names.first + suffix] = partial(TwoStageRecommender, retriever, n_candidates=1, popularity=popularity)
        if names.both is None:
            continue
        both = partial(TwoStageRecommender, retriever, served.ranker, n_candidates=n, popularity=popularity)
        makers[names.both + suffix] = both
        if not suffix and _wants_gold(bundle, settings["gold"]):
            makers[GOLD] = lambda stages=both: GoldStandard(stages())  # type: ignore[misc]
    return makers


def _first_stages(served: ServedRun, strategies: Sequence[str]) -> dict[str, FirstStage]:
    """What is added to a contender's name, to its first stage.

    Raises:
        BadConfig: an unknown strategy, or one that does not suit the index.
    """
    stages: dict[str, FirstStage] = {"": served.direct}
    for strategy in strategies:
        if strategy != "direct":
            stages[f" ({strategy})"] = served.under(strategy=strategy).recommender.retriever
    if isinstance(served.direct, Retriever) and not served.direct.index.exact:
        stages[EXACTLY] = served.direct.exactly()
    return stages


def _index_of(served: ServedRun, stage: Recommender) -> str:
    return _in_words(served, stage.retriever) if isinstance(stage, TwoStageRecommender) else "none"


def _in_words(served: ServedRun, retriever: FirstStage) -> str:
    """The index and what it does per query, such as `FaissIndex, nprobe 64`."""
    if not served.has_index or not isinstance(retriever, Retriever):
        return "none"
    index = retriever.index
    effort = getattr(index, "effort", None)
    return type(index).__name__ + (f", {effort} {getattr(index, effort)}" if effort else "")


def _wants_gold(bundle: Bundle, gold: bool | str) -> bool:
    if gold == "auto":
        objective = bundle.config().get("objective")
        return objective is not None and not instantiate(objective).trains_towers
    return bool(gold)


def _seed(bundle: Bundle) -> int:
    config = bundle.config()
    options = config.get("train") or config.get("model") or {}
    return int(options.get("seed", 0))
