"""Models that `conf/baseline` and `conf/peer` list, and the contenders that an evaluation makes of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twotower.config.compose import group_files, locate
from twotower.errors import BadConfig
from twotower.evaluation.families import OTHER

if TYPE_CHECKING:
    from twotower.tuning.tune import Build

BASELINES, PEERS = "baseline", "peer"
GROUPS = (BASELINES, PEERS)


@dataclass(frozen=True, slots=True)
class ListedModel:
    """One file of `conf/baseline` or `conf/peer`.

    Attributes:
        name: the file's, without suffix.
        model: `_target_` and the options with which it starts.
        search: what is tried on validation.
        family: see `evaluation/families.py`.
        counterpart: of a peer, our model that must not be weaker.
    """

    name: str
    model: Mapping[str, Any]
    search: Mapping[str, Any]
    family: str = OTHER
    counterpart: str | None = None

    @classmethod
    def read(cls, file: Path) -> "ListedModel":
        """Reads a file."""
        from omegaconf import OmegaConf

        found: Any = OmegaConf.to_container(OmegaConf.load(file), resolve=True)
        return cls(file.stem, found["model"], found.get("search") or {}, found["family"], found.get("counterpart"))

    @property
    def options(self) -> dict[str, Any]:
        """The constructor's options, without `_target_`."""
        return {name: value for name, value in self.model.items() if name != "_target_"}

    @property
    def is_random(self) -> bool:
        """Whether another seed makes another model."""
        return "seed" in self.model

    def build(self, **options: Any) -> "Build":
        """What makes the model of options tried; those given here win over the file's."""
        return partial(locate(self.model["_target_"]), **{**self.options, **options})


def model_names(*groups: str) -> tuple[str, ...]:
    """Names of all models of some groups, baselines first; without a group those of all."""
    return tuple(file.stem for group in groups or GROUPS for file in group_files(group))


def listed_model(
    name: str, *, groups: Sequence[str] = GROUPS, asked_by: str = "model=", also: Sequence[str] = ()
) -> ListedModel:
    """The model of a name.

    Args:
        name: of a file.
        groups: folders of `conf/` to look in.
        asked_by: how the message begins, with the option that names it.
        also: what the option accepts beside the files.

    Raises:
        BadConfig: there is none.
    """
    files = {file.stem: file for group in groups for file in group_files(group)}
    if name not in files:
        raise BadConfig(f"{asked_by}{name!r} is unknown; there are {', '.join([*also, *files])}")
    return ListedModel.read(files[name])


def counterparts(names: Iterable[str]) -> dict[str, str]:
    """Of the contenders named, each peer whose counterpart of ours is among them, and that counterpart."""
    names = set(names)
    listed = [ListedModel.read(file) for file in group_files(PEERS) if file.stem in names]
    return {peer.name: peer.counterpart for peer in listed if peer.counterpart and peer.counterpart in names}
