"""Contenders made of published runs: their stages, alone and together, over the index and over exact retrieval."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from twotower.config.compose import instantiate
from twotower.errors import BadConfig
from twotower.evaluation.contest import Entrant
from twotower.evaluation.families import OURS, STAGE
from twotower.evaluation.index_cost import IndexUse
from twotower.protocols import Recommender
from twotower.runs.bundle import Bundle
from twotower.runs.served_run import ServedRun
from twotower.stages.recommender import GoldStandard, TwoStageRecommender
from twotower.stages.retriever import Retriever

TOWERS, BOTH, GOLD = "towers", "towers + RankNet", "RankNet on everything"
EXACTLY = " (exact retrieval)"
_NAMES_AND_PLACES = frozenset(("run", "runs_dir", "prepared", "resume", "progress"))
"""Settings that change how a training goes and where it lies, not what comes out."""


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
        found = "there is one run only"
        if len(bundles) > 1:
            apart = ", ".join(differences(bundles[0].config(), bundles[1].config()))
            found = f"runs {bundles[0].name!r} and {bundles[1].name!r} also differ in {apart}"
        raise BadConfig(f"eval.pool_seeds: no two runs differ in train.seed alone; {found}")
    return groups


def differences(one: Mapping[str, Any], other: Mapping[str, Any], under: str = "") -> list[str]:
    """Places in which two configurations differ, beside seed, names and places of runs."""
    found: list[str] = []
    for key in dict.fromkeys((*one, *other)):
        place, a, b = f"{under}{key}", one.get(key), other.get(key)
        if place in _NAMES_AND_PLACES or place == "train.seed" or a == b:
            continue
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += differences(a, b, f"{place}.")
        else:
            found.append(place)
    return found


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
    n = int(settings["n_candidates"])
    made = {name: make() for name, make in _makers(served, first, settings).items()}
    for bundle in others:  # found now, not after hours
        _refuse_other_index(served, ServedRun.open(bundle.directory))
    seconds = sum(float(bundle.manifest["train_seconds"]) for bundle in bundles) / len(bundles)
    told = ", ".join(bundle.name for bundle in bundles)
    stages = {
        prefix + name: Entrant(
            stage,
            {
                "run": told,
                "seed": _seed(first),
                "index": _index_of(served, stage),
                **({"n_candidates": n} if BOTH in name else {}),
            },
            None,
            seconds,
            OURS if name == BOTH else STAGE,
            {_seed(bundle): partial(_stage, bundle, settings, name) for bundle in others},
            _seed(first),
        )
        for name, stage in made.items()
    }
    uses = {}
    for name in (TOWERS, BOTH):
        exact = f"{prefix}{name}{EXACTLY}"
        uses[prefix + name] = IndexUse(_in_words(served, served.direct), exact if exact in stages else None)
    builds_on = {name: name.replace(BOTH, TOWERS) for name in stages if BOTH in name}
    return RunContenders(bundles, stages, uses, builds_on)


def _refuse_other_index(one: ServedRun, other: ServedRun) -> None:
    kinds = [type(run.direct.index).__name__ for run in (one, other)]
    if kinds[0] != kinds[1]:
        raise BadConfig(
            f"eval.pool_seeds: run {one.name!r} asks {kinds[0]}, run {other.name!r} {kinds[1]}; "
            "build the same index for both with `make build-index`"
        )


def _stage(bundle: Bundle, settings: Mapping[str, Any], name: str) -> Recommender:
    """One stage of a run that is opened for it."""
    return _makers(ServedRun.open(bundle.directory), bundle, settings)[name]()


def _makers(served: ServedRun, bundle: Bundle, settings: Mapping[str, Any]) -> dict[str, Callable[[], Recommender]]:
    """Every stage by its name, to what makes it."""
    n, popularity = int(settings["n_candidates"]), served.recommender.popularity
    makers: dict[str, Callable[[], Recommender]] = {}
    for suffix, retriever in _first_stages(served, settings["strategies"]).items():
        both = partial(TwoStageRecommender, retriever, served.recommender.ranker, n_candidates=n, popularity=popularity)
        makers[TOWERS + suffix] = partial(TwoStageRecommender, retriever, n_candidates=1, popularity=popularity)
        makers[BOTH + suffix] = both
        if not suffix and _wants_gold(bundle, settings["gold"]):
            makers[GOLD] = lambda stages=both: GoldStandard(stages())  # type: ignore[misc]
    return makers


def _first_stages(served: ServedRun, strategies: Sequence[str]) -> dict[str, Retriever]:
    """What is added to a contender's name, to its first stage.

    Raises:
        BadConfig: an unknown strategy, or one that does not suit the index.
    """
    found = {"": served.direct}
    for strategy in strategies:
        if strategy != "direct":
            found[f" ({strategy})"] = served.under(strategy=strategy).recommender.retriever
    if not served.direct.index.exact:
        found[EXACTLY] = served.direct.exactly()
    return found


def _index_of(served: ServedRun, stage: Recommender) -> str:
    return _in_words(served, stage.retriever) if isinstance(stage, TwoStageRecommender) else "none"


def _in_words(served: ServedRun, retriever: Retriever) -> str:
    """The index and what it does per query, such as `FaissIndex, nprobe 64`."""
    index = retriever.index
    effort = getattr(index, "effort", None)
    if not served.has_index:
        return "none"
    return type(index).__name__ + (f", {effort} {getattr(index, effort)}" if effort else "")


def _wants_gold(bundle: Bundle, gold: bool | str) -> bool:
    if gold == "auto":
        return not instantiate(bundle.config()["objective"]).trains_towers
    return bool(gold)


def _seed(bundle: Bundle) -> int:
    return int(bundle.config()["train"]["seed"])
