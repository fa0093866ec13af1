"""`python -m twotower.evaluate`: examines runs beside tuned baselines and writes the report into the first run."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from twotower.commands.console import run_command
from twotower.commands.words import listed
from twotower.config.compose import compose, plain
from twotower.config.kinds import checked_settings
from twotower.config.models import baseline_names, counterparts, model_names, peer_names
from twotower.errors import BadConfig, BundleError
from twotower.runs.bundle import Bundle
from twotower.runs.tuned_contenders import listed_contenders
from twotower.storage.writable import refuse_unwritable

if TYPE_CHECKING:
    from twotower.data.split import Split
    from twotower.evaluation.contest import Contender, Entrant
    from twotower.evaluation.report import Report

Value = TypeVar("Value")
_OF_THE_COMMAND = ("baselines", "peers", "max_trials", "baseline", "tuned", "seeds", "pool_seeds", "both_orders")
"""Settings of `conf/eval` that say who takes part; the others are the benchmark's."""

USAGE = """usage: python -m twotower.evaluate [KEY=VALUE ...]

Tunes the baselines on validation, refits them on train and validation, examines them and the run on the test, prints
the table and writes report.html, report.md, report.json and figures/ into the run.

  run=NAME                      the run; default: the newest
  runs=[a,b]                    several runs of one data set and split; the report goes into the first
  eval.pool_seeds=true          runs that differ in train.seed alone are one model, averaged user by user
  eval.baselines=[popular,als]  some of {baselines}; [] for none
  eval.peers=[implicit_als]     models of other libraries: some of {peers}
  eval.baseline=als             which of them differences refer to
  eval.max_trials=12            settings tried for each baseline
  eval.seeds=[0,1,2]            seeds of the last fit of every baseline that has one
  eval.both_orders=true         also with events at equal times in the opposite order, all fitted anew
  eval.slices=[activity]        parts of users and targets examined apart; [] for none
  eval.tuned=tuning/DATA        take what python -m twotower tune found there, with its trials, instead of tuning
  n_candidates=500              items that RankNet orders
  pairings=[als:towers]         runs in pairs: candidates of the first, ranked by the second
  gold=true                     also RankNet over the whole catalogue
  strategies=[direct,pseudo]    further ways to find candidates: pseudo, cluster; direct is always examined
  frontier_seconds=10           time to measure the index at other efforts; 0 to leave it out

All settings: conf/evaluate.yaml and conf/eval/default.yaml"""


def evaluate(settings: Mapping[str, Any], also: "Mapping[str, Contender] | None" = None) -> "Report":
    """Runs the whole command for plain settings and returns the report that it wrote.

    Args:
        settings: composed from `conf/evaluate.yaml`.
        also: further contenders by name, for instance models that were fitted before.
    """
    from twotower.evaluation.contest import contest
    from twotower.reports.measure import insights_of
    from twotower.reports.sections.scores import calibration_in
    from twotower.reports.tables import print_report
    from twotower.reports.writers import write_report
    from twotower.runs.contenders import contenders_of, grouped, pairing

    names = list(settings["runs"] or [settings["run"]])
    bundles = [Bundle.open(name, settings["runs_dir"]) for name in names]
    refuse_unwritable(bundles[0].directory)
    split = _common_split(bundles)
    groups = grouped(bundles, pool_seeds=settings["eval"]["pool_seeds"])
    ours = [contenders_of(group, settings, prefix=f"{group[0].name}: " if len(groups) > 1 else "") for group in groups]
    ours += [pairing(*_pair(words, settings["runs_dir"], bundles[0]), settings) for words in settings["pairings"]]
    contenders: dict[str, Contender] = {}
    for made in ours:
        contenders |= _with_trials(made.stages, made.bundles[0], split, settings["eval"])
    contenders |= listed_contenders(settings["eval"], split) | dict(also or {})
    options = {k: v for k, v in settings["eval"].items() if k not in _OF_THE_COMMAND}
    report = contest(
        split,
        contenders,
        baseline=_baseline(settings["eval"]["baseline"], contenders),
        config={"evaluate": dict(settings), "runs": {b.name: b.config() for b in bundles}},
        say=print,
        index_uses=_joined(made.uses for made in ours),
        builds_on=_joined(made.builds_on for made in ours),
        counterparts=counterparts(contenders),
        other_order=_in_opposite_order(bundles[0], split) if settings["eval"]["both_orders"] else None,
        **options,
    )
    insights = insights_of(bundles[0], split, report, settings)
    report = replace(report, calibration=calibration_in(insights))
    write_report(report, bundles[0].directory, insights)
    print()
    print_report(report)
    print(f"\nreport: {bundles[0].directory / 'report.html'}")
    return report


def _pair(words: str, runs_dir: str, of: Bundle) -> tuple[Bundle, Bundle]:
    """The two runs of `retriever:ranker`, checked to be of the data and the split of the others.

    Raises:
        BadConfig: the words name no two runs.
        BundleError: a run is not there, or is of other data.
    """
    names = words.split(":")
    if len(names) != 2:
        raise BadConfig(f"pairings: {words!r} must name two runs, the one that retrieves first: pairings=[als:towers]")
    retriever, ranker = (Bundle.open(name, runs_dir) for name in names)
    _refuse_mixed([of, retriever, ranker])
    return retriever, ranker


def _joined(parts: "Iterable[Mapping[str, Value]]") -> "dict[str, Value]":
    """One mapping of several."""
    return {name: value for part in parts for name, value in part.items()}


def _baseline(name: str | None, contenders: "Mapping[str, Contender]") -> str | None:
    """Whom differences refer to; a baseline that does not take part this time is none.

    Raises:
        BadConfig: nothing is called so.
    """
    known = dict.fromkeys([*contenders, *model_names()])
    if name is not None and name not in known:
        raise BadConfig(f"eval.baseline: {name!r} is unknown; there are {', '.join(known)}")
    return name if name in contenders else None


def _common_split(bundles: Sequence[Bundle]) -> "Split":
    """The split on which all runs were trained, made anew and checked against their manifests.

    Raises:
        BundleError: the runs are of different data or splits, or the data changed since.
    """
    from twotower.config.build import make_split
    from twotower.runs.prepared import load_prepared

    _refuse_mixed(bundles)
    for bundle in bundles:
        if "production" in bundle.manifest:
            raise BundleError(
                f"run {bundle.name!r} has learnt from all events (production=true), so nothing is left to measure it; "
                "evaluate a run that was trained without"
            )
        if "refreshed" in bundle.manifest:
            raise BundleError(
                f"run {bundle.name!r} was refreshed and knows events beyond the moment of the test; "
                "evaluate the run as it was trained"
            )
    first = bundles[0].config()
    dataset = load_prepared(first["data"], Path(first["prepared"]))
    for bundle in bundles:
        if bundle.manifest["dataset"] != dataset.fingerprint():
            raise BundleError(
                f"run {bundle.name!r} was trained on data {str(bundle.manifest['dataset'])[:8]}…, but its source now "
                f"gives {dataset.fingerprint()[:8]}…; train again"
            )
    return make_split(first, dataset)


def _in_opposite_order(bundle: Bundle, split: "Split") -> "Split":
    """The same data cut the same way, with events of one user at equal times in the opposite order."""
    from twotower.config.build import make_split
    from twotower.data.ties import ties_reversed

    return make_split(bundle.config(), ties_reversed(split.dataset))


def _refuse_mixed(bundles: Sequence[Bundle]) -> None:
    first = bundles[0].config()
    for bundle in bundles[1:]:
        if any(bundle.config().get(part) != first.get(part) for part in ("data", "protocol")):
            raise BundleError(
                f"runs {bundles[0].name!r} and {bundle.name!r} are of different data or splits; evaluate them apart"
            )


def _with_trials(
    stages: "Mapping[str, Entrant]", bundle: Bundle, split: "Split", options: Mapping[str, Any]
) -> "Mapping[str, Entrant]":
    """The stages of a run whose options were found by tuning carry its trials, so that the report tells them."""
    from twotower.tuning.best_file import known_search

    config = bundle.config()
    known = known_search(options["tuned"], model=config["model_name"], split=split, metric=options["primary"])
    if known is None or any(_at(config, place) != value for place, value in known.options.items()):
        return stages
    return {name: replace(stage, tuned=known) for name, stage in stages.items()}


def _at(config: Mapping[str, Any], place: str) -> Any:
    """The value of `train.lr`, or of an option of the model itself."""
    group, _, option = place.rpartition(".")
    return (config.get(group or "model") or {}).get(option)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if {"-h", "--help"} & set(arguments):
        print(USAGE.format(baselines=", ".join(baseline_names()), peers=", ".join(peer_names())))
        return 0
    return run_command(lambda: _run(arguments))


def _run(arguments: Sequence[str]) -> None:
    words = [listed(word, {"runs"}) for word in arguments]
    evaluate(checked_settings(plain(compose(words, "evaluate")), "evaluate"))


if __name__ == "__main__":
    sys.exit(main())
