"""Prepares a data set: reads the source, keeps the positives, saves Parquet files, prints what there is.

    python pipelines/prepare.py data=ml-1m out=data-cache/prepared/ml-1m

Other words are Hydra overrides of conf/data/<data>.yaml, e.g. `data.source.on_bad_rows=drop`.
`twotower.data.dataset.Dataset.load(Path(out))` opens the result.
"""

import sys
from pathlib import Path
from time import perf_counter
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException

from twotower.config import conf_dir, group_files, instantiate, plain
from twotower.data.facts import facts_table
from twotower.data.positives import select_positives
from twotower.errors import BadConfig, TwoTowerError


def settings(words: list[str]) -> tuple[dict[str, Any], Path | None]:
    """The `data` group that the words choose, and the folder named by `out=`.

    Raises:
        BadConfig: no data set is named, or a word is not understood.
    """
    out = next((Path(word.removeprefix("out=")) for word in words if word.startswith("out=")), None)
    known = [path.stem for path in group_files("data")]
    if not any(word == f"data={name}" for word in words for name in known):
        raise BadConfig(f"name a data set: data=<name>, one of {', '.join(known)}")
    overrides = [f"+{word}" if word.startswith("data=") else word for word in words if not word.startswith("out=")]
    try:
        with initialize_config_dir(config_dir=str(conf_dir()), version_base="1.3"):
            return dict(plain(compose(overrides=overrides)["data"])), out
    except HydraException as error:
        raise BadConfig(" ".join(str(error).split())) from error


def main(words: list[str]) -> int:
    """Runs the job; the exit status."""
    try:
        config, out = settings(words)
        out = out or Path("data-cache/prepared") / config["name"]
        started = perf_counter()
        dataset = instantiate(config["source"]).load()
        dataset = select_positives(dataset, **config["positives"])
        seconds = perf_counter() - started
        dataset.save(out)
    except TwoTowerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(facts_table(dataset))
    print(f"read in {seconds:.1f} s, saved in {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
