"""What `python -m twotower.train --help` says."""

from collections.abc import Sequence

from twotower.config.compose import group_files
from twotower.config.models import listed_model, model_names
from twotower.config.options_text import options_text

USAGE = """usage: python -m twotower.train [KEY=VALUE ...]

Reads a data set, trains a model, publishes runs/<run>. A training that was killed goes on when the same command is
typed again.

  data=NAME          one of {data}
  model=NAME         two_tower (towers and RankNet), or one of
                     {model}
  retriever=NAME ranker=NAME
                     two models as one run instead of model=: the first finds candidates, the second ranks them
  blend=[NAME,NAME]  several models whose scores are added up, with weights that make blend_by=map@10 best
  protocol=NAME      how the events are cut, if not by the data set's own split: one of
                     {protocol}
  run=NAME           name of the run; default: the data set's
  device=auto|cpu|cuda threads=N progress=false
  torchrun --nproc-per-node=2 -m twotower.train …
                     the same with several processes, each on its share of every batch
  --config-dir FOLDER
                     a folder of your own groups, such as FOLDER/model/mine.yaml
  production=true    a run to go live: tells what the model reaches on the test, then learns from all events
  as_of=test         serve without the events of the test (default: newest)
  --multirun         several values: objective=single,joint train.seed=0,1 (give run=… with them)

Options of model=two_tower:
  objective=NAME     one of {objective}
  towers=NAME        one of {towers}
  train.epochs=30 train.lr=0.001 train.seed=0 towers.dim=64 features.profiles=false …
Options of the others: model.dim=64 model.seed=0 …; `model=NAME --help` lists them.

All settings: conf/train.yaml and the folders beside it; `--cfg job` prints the chosen ones."""

_GROUPS = ("data", "objective", "towers", "protocol")


def help_text(words: Sequence[str]) -> str:
    """The usage; with `model=NAME` the options of that model."""
    chosen = next((word.partition("=")[2] for word in words if word.startswith("model=")), None)
    if chosen is not None:
        return options_text(listed_model(chosen))
    names = {group: ", ".join(f.stem for f in group_files(group)) for group in _GROUPS}
    return USAGE.format(model=", ".join(name for name in model_names() if name != "two_tower"), **names)
