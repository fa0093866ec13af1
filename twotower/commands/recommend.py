"""`python -m twotower.recommend --user 42`: the list of one user, as a table or as JSON, with the reasons if wanted."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twotower.allowed import allow
from twotower.commands.console import run_command, shows_everything
from twotower.text import aligned, printable

if TYPE_CHECKING:
    from twotower.runs.answer import Answer, Explanation, Recommended
    from twotower.runs.served_run import ServedRun

EXAMPLES = """examples:
  python -m twotower.recommend --user 42 --k 5 --explain
  python -m twotower.recommend --history 17,203,88           somebody new who has touched these items
  python -m twotower.recommend --user 42 --where 'price<=15000' --where 'fuel in diesel,petrol'
"""
_WIDEST = 44


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = argparse.ArgumentParser(
        "python -m twotower.recommend",
        description="Prints the items that a run recommends to one user: retrieved, filtered, ranked.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--user", help="user id as in your data; unknown or absent: --history, else popular items")
    command.add_argument("--history", default="", help="item ids that the user has touched, oldest first: 17,203,88")
    command.add_argument("--k", type=int, default=10, help="wanted items (default: 10)")
    command.add_argument("--run", default="latest", help="name or path of the run (default: the newest)")
    command.add_argument("--ranker", metavar="RUN", help="another run of the same data that ranks the candidates")
    command.add_argument("--plugins", metavar="MODULE", action="append", help="a module of your own models; may repeat")
    command.add_argument("--runs-dir", default="runs", help="folder of runs (default: runs)")
    command.add_argument("--where", action="append", metavar="RULE", help="catalogue rule; repeat it to join by and")
    command.add_argument("--candidates", type=int, metavar="N", help="retrieved items that are ranked (default: 500)")
    command.add_argument("--strategy", metavar="NAME", help="how candidates are found: direct, pseudo or cluster "
                         "(default: direct)")  # fmt: skip
    seen = command.add_mutually_exclusive_group()
    seen.add_argument("--exclude-seen", dest="exclude_seen", action="store_true", default=None,
                      help="leave out what the user has touched (default)")  # fmt: skip
    seen.add_argument("--include-seen", dest="exclude_seen", action="store_false", help="leave it in")
    command.add_argument("--explain", action="store_true", help="say what each stage did and what speaks for each item")
    command.add_argument("--gold", action="store_true", help="compare with RankNet on the whole catalogue")
    command.add_argument("--json", action="store_true", help="print JSON")
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    options = parser().parse_args(arguments)
    return run_command(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    allow(*(options.plugins or ()))
    from twotower.runs.served_run import ServedRun

    served = ServedRun.open(options.run, options.runs_dir, ranker=options.ranker)
    changes = {
        "where": options.where,
        "n_candidates": options.candidates,
        "exclude_seen": options.exclude_seen,
        "strategy": options.strategy,
    }
    served = served.under(**{name: value for name, value in changes.items() if value is not None})
    history = [item.strip() for item in options.history.split(",") if item.strip()]
    answer = served.answer(options.user, history, options.k, explain=options.explain, gold=options.gold)
    print(as_json(answer) if options.json else as_text(answer, served))


def as_json(answer: "Answer") -> str:
    """The whole answer as one JSON object."""
    return json.dumps(dataclasses.asdict(answer), indent=2, ensure_ascii=not shows_everything(sys.stdout))


def as_text(answer: "Answer", served: "ServedRun") -> str:
    """The answer for people: how it was made, the table, and what was asked for beside it."""
    parts = [_headline(answer), _table(answer) if answer.items else "nothing is left to recommend"]
    if answer.explanation:
        parts += [_stages(answer.explanation), *_reasons(answer.items)]
    if answer.gold is not None:
        parts.append(_gold(answer.items, answer.gold))
    if not served.has_index and served.likeness is not None:
        parts.append("no index in this run: all items were compared one by one; `make build-index` would build one")
    return "\n".join(printable(line) for part in parts for line in part.split("\n"))


def _headline(answer: "Answer") -> str:
    if answer.user is None:
        who = "nobody in particular"
    else:
        who = f"user {answer.user}" + ("" if answer.known else " (not in the data set)")
    return f"{who}, run {answer.run}: {answer.how}"


def _table(answer: "Answer") -> str:
    """Aligned columns: place, item, title, features, scores; numbers to the right, empty columns left out."""
    popular = answer.how == "popular items"
    header = ["#", "item", "title", "features", *(("", "events") if popular else ("retrieval", "rank"))]
    rows = [_cells(place, item, popular) for place, item in enumerate(answer.items, start=1)]
    shown = [c for c in range(len(header)) if any(row[c] for row in rows)]
    names = [at for at, c in enumerate(shown) if header[c] in ("item", "title", "features")]
    return aligned([[row[c] for c in shown] for row in [header, *rows]], left=names)


def _cells(place: int, item: "Recommended", popular: bool) -> list[str]:
    named = [str(place), str(item.item), _cut(item.title or ""), _cut(_features(item))]
    if popular:
        return [*named, "", f"{item.rank_score:,.0f}"]
    return [*named, f"{item.retrieval_score:.4f}", f"{item.rank_score:.4f}"]


def _features(item: "Recommended") -> str:
    return ", ".join(f"{name} {_plain(value)}" for name, value in item.features.items())


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return "/".join(map(str, value))
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else f"{value:.6g}"
    return str(value)


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


def _stages(said: "Explanation") -> str:
    """What each stage did, rule by rule."""
    return "\n".join(
        [
            f"retrieved  {said.retrieved:,} nearest items; of these, filters remove",
            *(f"    {count:>6,}  {rule}" for rule, count in said.removed.items()),
            f"ranked     {said.ranked:,} candidates, made up with the next nearest",
        ]
    )


def _reasons(items: "Sequence[Recommended]") -> list[str]:
    """One line per item: the nearest items of the history."""
    return [
        f"because    {place}. {i.title or i.item}: "
        + "; ".join(f"{r.title or r.item} ({r.item}, cosine {r.cosine:.2f})" for r in i.because)
        for place, i in enumerate(items, start=1)
        if i.because
    ]


def _gold(items: "Sequence[Recommended]", gold: Sequence[Any]) -> str:
    kept = len({item.item for item in items} & set(gold))
    return f"gold standard (RankNet on everything): {', '.join(map(str, gold))}; {kept} of {len(gold)} are in the list"


if __name__ == "__main__":
    sys.exit(main())
