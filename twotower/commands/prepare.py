"""`twotower prepare`: reads a source, keeps the positives, saves Parquet files, prints what there is."""

import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from twotower.commands.words import names_in, run_words, settings_of
from twotower.storage.writable import refuse_unwritable

USAGE = """usage: python pipelines/prepare.py data=NAME [out=FOLDER] [KEY=VALUE ...]

Reads a data set, keeps the positive events, saves it as Parquet files and prints a table of facts. Training with the
same data settings then reads the files instead of the source.

  data=NAME                          one of {data}
  out=FOLDER                         default: data-cache/prepared/NAME
  data.source.path=my.yaml           (data=own) the YAML that names your files
  data.source.on_bad_rows=drop       drop damaged rows, write them aside and count them, instead of stopping
  data.positives.min_value=4         events with a smaller value are no positives
  inputs=true                        also learn encoders and profiles, and save the encoded inputs of a training with
                                     these settings (protocol=, model=, features.*), which maps them into memory"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    return run_words(arguments, lambda: USAGE.format(data=names_in("data")), prepare)


def prepare(words: Sequence[str]) -> None:
    """Reads, saves and describes the data set that the words choose.

    Raises:
        BadConfig: a word is not understood.
        MissingData: files are absent.
        BadInput: a file is damaged.
    """
    from twotower.config.build import make_split, read_source, refuse_bad_options
    from twotower.data.summary import facts_table
    from twotower.runs.prepared import refuse_foreign_folder, save_inputs, save_prepared

    encode = "inputs=true" in words
    # the words of a training, whose `data` and `prepared` are used; `out=` is short for `prepared=`
    training = [f"prepared={word.removeprefix('out=')}" if word.startswith("out=") else word for word in words]
    training = [word for word in training if word not in ("inputs=true", "inputs=false")]
    settings = settings_of(training, "train", example="data=ml-1m")
    refuse_bad_options(settings)
    folder = Path(settings["prepared"])
    refuse_foreign_folder(folder)
    refuse_unwritable(folder.absolute().parent)
    started = perf_counter()
    dataset = read_source(settings["data"])
    seconds = perf_counter() - started
    save_prepared(dataset, settings["data"], folder)
    print(facts_table(dataset))
    print(f"read in {seconds:.1f} s, saved in {folder}")
    if encode:
        started = perf_counter()
        inputs = save_inputs(make_split(settings, dataset), settings, folder)
        n = len(inputs.training.profiles)
        print(f"{n:,} profiles learnt and all inputs encoded in {perf_counter() - started:.1f} s")


if __name__ == "__main__":
    sys.exit(main())
