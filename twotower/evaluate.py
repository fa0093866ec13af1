"""`python -m twotower.evaluate`: examines runs beside tuned baselines and writes the report into the first run."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twotower.bundle import Bundle
from twotower.config import compose, instantiate, plain
from twotower.console import run_command
from twotower.contenders import BASELINES, PEERS, listed_contenders, model_names
from twotower.errors import BundleError

if TYPE_CHECKING:
    from twotower.data.split import Split
    from twotower.evaluation.benchmark import Contender
    from twotower.evaluation.index_cost import IndexUse
    from twotower.evaluation.report import Report
    from twotower.retrieval.retriever import Retriever
    from twotower.serve.served_run import ServedRun

_EXACTLY = " (exact retrieval)"
_NOT_OF_BENCHMARK = ("baselines", "peers", "max_trials", "baseline", "tuned")
"""Settings of `conf/eval` that say who takes part and how they are tuned."""

USAGE = """usage: python -m twotower.evaluate [KEY=VALUE ...]

Tunes the baselines on validation, refits them on train and validation, examines them and the run on the test, prints
the table and writes report.html, report.md, report.json and figures/ into the run.

  run=NAME                      the run; default: the newest
  runs=[a,b]                    several runs of one data set and split; the report goes into the first
  eval.baselines=[popular,als]  some of {baselines}; [] for none
  eval.peers=[implicit_als]     models of other libraries: some of {peers}
  eval.baseline=als             which of them differences refer to
  eval.max_trials=12            settings tried for each baseline
  eval.tuned=tuning/DATA        take what python -m twotower.tune found there, with its trials, instead of tuning
  n_candidates=500              items that RankNet orders
  gold=true                     also RankNet over the whole catalogue
  strategies=[direct,pseudo]    further ways to find candidates: pseudo, cluster; direct is always examined

All settings: conf/evaluate.yaml and conf/eval/default.yaml"""


def evaluate(settings: Mapping[str, Any]) -> "Report":
    """Runs the whole command for plain settings and returns the report that it wrote."""
    from twotower.evaluation.benchmark import benchmark
    from twotower.evaluation.tables import print_report
    from twotower.evaluation.writers import write_report
    from twotower.serve.insights import insights_of

    names = list(settings["runs"] or [settings["run"]])
    bundles = [Bundle.open(name, settings["runs_dir"]) for name in names]
    split = _common_split(bundles)
    contenders: dict[str, Contender] = {}
    uses: dict[str, IndexUse] = {}
    for bundle in bundles:
        stages, indexed = _stages(bundle, settings, prefix=f"{bundle.name}: " if len(bundles) > 1 else "")
        contenders |= _with_trials(stages, bundle, split, settings["eval"])
        uses |= indexed
    ours = tuple(contenders)
    contenders |= listed_contenders(settings["eval"], split)
    options = {k: v for k, v in settings["eval"].items() if k not in _NOT_OF_BENCHMARK}
    baseline = settings["eval"]["baseline"] if settings["eval"]["baseline"] in contenders else None
    report = benchmark(
        split,
        contenders,
        baseline=baseline,
        config={"evaluate": dict(settings), "runs": {b.name: b.config() for b in bundles}},
        say=print,
        index_uses=uses,
        **options,
    )
    write_report(report, bundles[0].directory, insights_of(bundles[0], split, report, ours, settings))
    print()
    print_report(report)
    print(f"\nreport: {bundles[0].directory / 'report.html'}")
    return report


def _common_split(bundles: Sequence[Bundle]) -> "Split":
    """The split on which all runs were trained, made anew and checked against their manifests.

    Raises:
        BundleError: the runs are of different data or splits, or the data changed since.
    """
    from twotower.prepared import load_prepared, make_split

    first = bundles[0].config()
    for bundle in bundles[1:]:
        if any(bundle.config().get(part) != first.get(part) for part in ("data", "protocol")):
            raise BundleError(
                f"runs {bundles[0].name!r} and {bundle.name!r} are of different data or splits; evaluate them apart"
            )
    dataset = load_prepared(first["data"], Path(first["prepared"]))
    for bundle in bundles:
        if bundle.manifest["dataset"] != dataset.fingerprint():
            raise BundleError(
                f"run {bundle.name!r} was trained on data {str(bundle.manifest['dataset'])[:8]}…, but its source now "
                f"gives {dataset.fingerprint()[:8]}…; train again"
            )
    return make_split(first, dataset)


def _stages(
    bundle: Bundle, settings: Mapping[str, Any], *, prefix: str
) -> "tuple[dict[str, Contender], dict[str, IndexUse]]":
    """The first stage alone, both stages, RankNet over everything where wanted, and how they use the run's index.

    Where the index may lose something, the same two stages over exact retrieval stand beside them.
    """
    from twotower.evaluation.benchmark import Fitted
    from twotower.evaluation.index_cost import IndexUse
    from twotower.recommender import GoldStandard, TwoStageRecommender
    from twotower.serve.served_run import ServedRun

    served = ServedRun.open(bundle.directory)
    n, popularity = int(settings["n_candidates"]), served.recommender.popularity
    seconds = float(bundle.manifest["train_seconds"])
    stages: dict[str, Contender] = {}
    uses: dict[str, IndexUse] = {}
    for name, retriever in _first_stages(served, settings["strategies"]).items():
        towers = TwoStageRecommender(retriever, n_candidates=1, popularity=popularity)
        both = TwoStageRecommender(retriever, served.recommender.ranker, n_candidates=n, popularity=popularity)
        facts = {"run": bundle.name, "index": _in_words(served, retriever)}
        stages[f"{prefix}towers{name}"] = Fitted(towers, facts, None, seconds)
        stages[f"{prefix}towers + RankNet{name}"] = Fitted(both, {**facts, "n_candidates": n}, None, seconds)
        if not name and _wants_gold(bundle, settings["gold"]):
            gold = Fitted(GoldStandard(both), {"run": bundle.name}, None, seconds)
            stages[f"{prefix}RankNet on everything"] = gold
    index = _in_words(served, served.direct)
    for stage in ("towers", "towers + RankNet"):
        exact = f"{prefix}{stage}{_EXACTLY}"
        uses[f"{prefix}{stage}"] = IndexUse(index, exact if exact in stages else None)
    return stages, uses


def _first_stages(served: "ServedRun", strategies: Sequence[str]) -> "dict[str, Retriever]":
    """What is added to a contender's name, to its first stage.

    Raises:
        BadConfig: an unknown strategy, or one that does not suit the index.
    """
    found = {"": served.direct}
    for strategy in strategies:
        if strategy != "direct":
            found[f" ({strategy})"] = served.under(strategy=strategy).recommender.retriever
    if not served.direct.index.exact:
        found[_EXACTLY] = served.direct.exactly()
    return found


def _in_words(served: "ServedRun", retriever: "Retriever") -> str:
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


def _with_trials(
    stages: "dict[str, Contender]", bundle: Bundle, split: "Split", options: Mapping[str, Any]
) -> "dict[str, Contender]":
    """The stages of a run whose options were found by tuning carry its trials, so that the report tells them."""
    from omegaconf import OmegaConf

    from twotower.evaluation.benchmark import Fitted
    from twotower.evaluation.tuned_file import known_search

    known = known_search(options["tuned"], model="two_tower", split=split, metric=options["primary"])
    config = OmegaConf.create(bundle.config())
    if known is None or any(OmegaConf.select(config, place) != value for place, value in known.options.items()):
        return stages
    return {n: replace(stage, tuned=known) if isinstance(stage, Fitted) else stage for n, stage in stages.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if {"-h", "--help"} & set(arguments):
        print(USAGE.format(baselines=", ".join(model_names(BASELINES)), peers=", ".join(model_names(PEERS))))
        return 0
    return run_command(lambda: _run(arguments))


def _run(arguments: Sequence[str]) -> None:
    evaluate(plain(compose([_listed(a) for a in arguments], "evaluate")))


def _listed(argument: str) -> str:
    """`runs=a,b` as Hydra writes a list."""
    key, _, value = argument.partition("=")
    return f"{key}=[{value}]" if key == "runs" and not value.startswith("[") else argument


if __name__ == "__main__":
    sys.exit(main())
