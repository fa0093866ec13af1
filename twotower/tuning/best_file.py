"""`best.yaml`: what a search found, with all its trials, as a file that later evaluations read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from twotower.data.split import Split
from twotower.errors import BadConfig
from twotower.evaluation.search_result import SearchResult, Trial
from twotower.storage.whole_file import write_whole
from twotower.text import one_line

BEST = "best.yaml"


def write_tuned(found: SearchResult, file: Path, *, model: str, split: Split, fixed: Mapping[str, Any]) -> None:
    """Writes a search's outcome.

    Args:
        found: the outcome.
        file: replaced whole if it is there.
        model: its name.
        split: what it was found on.
        fixed: options that were not searched.
    """
    facts = {
        "model": model,
        "metric": found.metric,
        "score": found.score,
        "options": found.options,
        "at_border": list(found.at_border),
        "split": split.name,
        "dataset": split.dataset.fingerprint(),
        "fixed": dict(fixed),
        "grid_size": found.grid_size,
        "trials": [trial.facts() for trial in found.trials],
    }
    text = "# Found by `python -m twotower tune`; `python -m twotower.evaluate eval.tuned=DIR` takes it up.\n"
    text += yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)
    write_whole(file, lambda path: path.write_text(text, encoding="utf-8"))


def known_search(
    folder: str | Path | None, *, model: str, split: Split, metric: str, fixed: Mapping[str, Any] | None = None
) -> SearchResult | None:
    """What was found for a model below a folder; None without a folder, or where it holds nothing of this model.

    Raises:
        BadConfig: there is no such folder, or the file cannot be used (see `read_tuned`).
    """
    if folder is None:
        return None
    if not Path(folder).is_dir():
        raise BadConfig(f"eval.tuned={folder}: there is no such folder; run `python -m twotower tune` first")
    file = Path(folder) / model / BEST
    return read_tuned(file, model=model, split=split, metric=metric, fixed=fixed) if file.exists() else None


def read_tuned(
    file: Path, *, model: str, split: Split, metric: str, fixed: Mapping[str, Any] | None = None
) -> SearchResult:
    """Reads what `write_tuned` wrote, if it was found for the same thing.

    Args:
        file: to be read.
        model: expected name.
        split: expected data and split.
        metric: expected metric.
        fixed: expected options that were not searched; None: any.

    Raises:
        BadConfig: it cannot be read, or is of another model, data set, split or metric.
    """
    try:
        facts = yaml.safe_load(file.read_text(encoding="utf-8"))
        trials = tuple(Trial.of(trial) for trial in facts["trials"])
        found = SearchResult(
            facts["options"], facts["score"], facts["metric"], trials, facts["grid_size"], tuple(facts["at_border"])
        )
        known = {name: facts[name] for name in ("model", "metric", "split", "dataset", "fixed")}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        reason = one_line(f"{type(error).__name__}: {error}")
        raise BadConfig(f"{file} cannot be read ({reason}); tune again") from error
    expected = {"model": model, "metric": metric, "split": split.name, "dataset": split.dataset.fingerprint()}
    for name, value in {**expected, **({} if fixed is None else {"fixed": dict(fixed)})}.items():
        if known[name] != value:
            raise BadConfig(f"{file} was found for {name} {known[name]!s:.60}, here it is {value!s:.60}; tune again")
    return found
