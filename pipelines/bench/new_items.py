"""Job: measures how models find new items, whose content is all that is known of them, among the new items.

    python pipelines/bench/new_items.py --data lastfm
    python pipelines/bench/new_items.py --data ml-1m --trials 3 --blend content_ridge,content_knn

Items are held out as by `protocol=cold_items`; only the held-out items of a part compete. Content models are tuned on
validation (Recall@20, as many trials each, on 1,000 users), other members of the blend take their usual options and the
words given, the blend chooses its weights on validation. All are fitted once more on train and validation where they
can, and with `--test` the test is asked once. Without it the test stays closed and the figures are those of validation.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from twotower.config.build import make_split, read_source
from twotower.config.compose import compose, plain
from twotower.config.models import ListedModel, listed_model
from twotower.data.split import Holdout, Split
from twotower.evaluation.examine import examine
from twotower.models.base import ScoringModel
from twotower.models.blend import Blend
from twotower.tuning.tune import tune
from twotower.types import Ragged

METRIC = "recall@20"
TRIED_ON = 1_000
"""Validation users whose lists decide in a trial."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Tunes, fits and measures one model after the other, a line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help="options of towers, such as train.epochs=3")
    parser.add_argument("--data", default="lastfm", help="a name of conf/data")
    parser.add_argument("--blend", default="two_tower,content_ridge", help="names of conf/model")
    parser.add_argument("--trials", type=int, default=8, help="of each tuned model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--test", action="store_true", help="ask the test, for the final figures")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    split = split_of(options.data)
    print(f"{split}: {len(new_items(split.test)):,} new items compete in the test", flush=True)
    kinds = [listed_model(name, words=options.words) for name in options.blend.split(",")]
    measured("content_knn", best(listed_model("content_knn"), split, options.trials), split, test=options.test)
    members = [best(kind, split, options.trials) if kind.family == "content" else kind.make() for kind in kinds]
    blend = measured("blend", Blend(members=members, metric=METRIC), split, test=options.test)
    for number, kind in enumerate(kinds):
        report(f"{kind.name} by scores", only(blend, number), split, test=options.test)
        if not isinstance(blend.members[number], ScoringModel):
            report(f"{kind.name} with its stages", blend.members[number], split, test=options.test)
    return 0


def only(blend: Blend, number: int) -> Blend:
    """One member of a fitted blend in the place of all."""
    weights = [float(place == number) for place in range(len(blend.members))]
    alone = Blend(members=blend.members, weights=weights)
    alone.chosen, alone._popular = np.array(weights), blend._popular
    alone.n_items = blend.n_items
    return alone


def split_of(data: str) -> Split:
    """The data set with a tenth of its items held out in each part, new items competing among themselves."""
    settings = plain(compose([f"data={data}", "protocol=cold_items"]))
    split = make_split(settings, read_source(settings["data"]))
    return replace(split, validation=among_new(split.validation), test=among_new(split.test))


def new_items(holdout: Holdout) -> Any:
    """The items of the targets, none of which has an event in the history."""
    return np.unique(holdout.target.item)


def among_new(holdout: Holdout) -> Holdout:
    """The same where new items are all that competes."""
    new, users = new_items(holdout), holdout.users()
    lengths = np.zeros(holdout.target.n_users, np.int64)
    lengths[users] = len(new)
    return replace(holdout, candidates=Ragged.from_lengths(np.tile(new, len(users)), lengths))


def best(listed: ListedModel, split: Split, trials: int) -> Any:
    """An unfitted model of the options that find most new items of validation."""
    users = split.validation.users()
    some = users[:: max(1, -(-len(users) // TRIED_ON))]
    target = split.validation.target
    smaller = replace(split.validation, target=target.where(np.isin(target.user, some)))
    found = tune(
        listed.build(),
        listed.search,
        replace(split, validation=smaller),
        metric=METRIC,
        max_trials=trials,
        start=listed.usual(),
        say=lambda line: print(f"  {listed.name} {line}", flush=True),
    )
    return listed.make(**found.options)


def measured(name: str, model: Any, split: Split, *, test: bool) -> Any:
    """Fits a model, says how well it does, and gives it back."""
    started = time.perf_counter()
    fitted = model.fit_for_test(split) if test else model.fit(split)
    print(f"{name}: {fitted!r}, fitted in {time.perf_counter() - started:.0f} s", flush=True)
    report(name, fitted, split, test=test)
    return fitted


def report(name: str, model: Any, split: Split, *, test: bool) -> None:
    """One line of figures among the new items."""
    figures = examine(model, split.test if test else split.validation, metrics=(METRIC, "map@10"))
    print(f"{name:24} Recall@20 {figures.mean(METRIC):.4f}  MAP@10 {figures.mean('map@10'):.4f}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
