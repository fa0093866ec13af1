"""Models that `conf/model` lists: what they are, what is tried for them, and how one is made of a configuration."""

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twotower.allowed import MODEL
from twotower.config.compose import called, compose, group_files, instantiate, locate, plain
from twotower.config.defaults import with_defaults
from twotower.errors import BadConfig
from twotower.evaluation.families import OTHER, OURS, PEER, RATING
from twotower.text import near

if TYPE_CHECKING:
    from twotower.models.base import Model
    from twotower.tuning.tune import Build

GROUP = "model"
PARTS = ("towers", "features", "objective", "train")
"""Groups of `conf/` that some models are made of; a model's file names its own in `groups`."""
SOURCES = "sources"
"""Where a model's file names the models that it takes candidates from, and the option that it takes them as."""
_OF_THE_LIST = ("search", "counterpart", "groups")


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model as a file of `conf/model` and the command line describe it.

    Attributes:
        name: the file's, without suffix.
        model: `_target_` and every option of its own.
        search: what is tried on validation, by option (`alpha`) or by group and option (`train.lr`).
        family: see `evaluation/families.py`.
        counterpart: of a peer, our model that must not be weaker.
        parts: group to its configuration, for a model that is made of several.
        taken_as: option of the constructor to the group that it is made of.
        sources: of a model that takes candidates from others, those models by name.
    """

    name: str
    model: Mapping[str, Any]
    search: Mapping[str, Any] = field(default_factory=dict)
    family: str = OTHER
    counterpart: str | None = None
    parts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    taken_as: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, "ListedModel"] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "ListedModel":
        """The model of composed settings, all its options written out.

        Raises:
            BadConfig: an option that the model does not have, or a file of models that describes none.
        """
        if not settings.get("model_name") or not isinstance(settings.get(GROUP), Mapping):
            raise BadConfig("model: its file gives no model_name or no model with _target_; see those of conf/model")
        taken_as = settings.get("groups") or {}
        parts = {group: with_defaults(settings[group], group) for group in taken_as.values()}
        names = _names(settings.get(SOURCES) or [], settings["model_name"])
        sources = {name: _stage(name, f"{SOURCES}=", {**settings, SOURCES: None}) for name in names}
        return cls(
            settings["model_name"],
            with_defaults(settings[GROUP], GROUP, leave_out=(*taken_as, *([SOURCES] if names else []))),
            settings.get("search") or {},
            settings.get("family", OTHER),
            settings.get("counterpart"),
            parts,
            taken_as,
            sources,
        )

    @property
    def is_random(self) -> bool:
        """Whether another seed makes another model."""
        return self.seed_option is not None

    @property
    def seed_option(self) -> str | None:
        """Where the seed stands: `seed`, or that of a group; None where nothing is drawn."""
        if "seed" in self.model:
            return "seed"
        return next((f"{group}.seed" for group, options in self.parts.items() if "seed" in options), None)

    @property
    def fixed(self) -> dict[str, Any]:
        """All that the model is made of, to know it again."""
        own = {SOURCES: {name: source.fixed for name, source in self.sources.items()}} if self.sources else {}
        return {**self.model, **self.parts, **own}

    @property
    def all_parts(self) -> dict[str, Mapping[str, Any]]:
        """Groups that the model or one of its sources is made of."""
        of_sources = {group: part for source in self.sources.values() for group, part in source.all_parts.items()}
        return {**of_sources, **self.parts}

    def usual(self) -> dict[str, Any]:
        """The values, before any search, of the options that are searched."""
        return {place: self._at(place) for place in self.search}

    def make(self, **changes: Any) -> "Model":
        """An unfitted model.

        Args:
            changes: options by place, such as `alpha` or `train.lr`, that win over those of the configuration.

        Raises:
            BadConfig: there is no such option, it is out of range, or a library is missing.
        """
        whole = copy.deepcopy({GROUP: dict(self.model), **{name: dict(part) for name, part in self.parts.items()}})
        for place, value in changes.items():
            group, option = self._place(place)
            whole[group][option] = value
        parts: dict[str, Any] = {option: instantiate(whole[group]) for option, group in self.taken_as.items()}
        if self.sources:
            parts[SOURCES] = {name: source.make(**source.seeded(changes)) for name, source in self.sources.items()}
        target = locate(whole[GROUP].pop("_target_"), MODEL)
        model: Model = called(target, {**whole[GROUP], **parts})
        return model

    def seeded(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """The same seed for a source as for the model that it belongs to, where one is given."""
        return {self.seed_option: changes["seed"]} if self.seed_option and "seed" in changes else {}

    def build(self, **options: Any) -> "Build":
        """What makes the model of options tried; those given here win over the configuration's."""
        return partial(self.make, **options)

    def with_search(self, search: Mapping[str, Any]) -> "ListedModel":
        """The same with other options to try.

        Raises:
            BadConfig: the model has no such option.
        """
        for place in search:
            self._place(place)
        return replace(self, search=search)

    def _place(self, place: str) -> tuple[str, str]:
        """Group and option that a place such as `train.lr` or `alpha` means."""
        group, _, option = place.rpartition(".")
        options: Mapping[str, Any] = self.parts.get(group, {}) if group else self.model
        if option not in options or option.startswith("_"):
            known = [name for name in self.model if not name.startswith("_")]
            known += [f"{part}.{name}" for part, names in self.parts.items() for name in names if name[0] != "_"]
            raise BadConfig(f"model {self.name!r} has no option {place!r}; {near(place, known)}")
        return group or GROUP, option

    def _at(self, place: str) -> Any:
        group, option = self._place(place)
        return (self.model if group == GROUP else self.parts[group])[option]


def model_names(*families: str) -> tuple[str, ...]:
    """Names of the models of some families; without one, those of all."""
    return tuple(file.stem for file in group_files(GROUP) if not families or _facts(file)["family"] in families)


def baseline_names() -> tuple[str, ...]:
    """Models of lists that are neither ours nor another library's."""
    return tuple(file.stem for file in group_files(GROUP) if _facts(file)["family"] not in (OURS, PEER, RATING))


def rating_names() -> tuple[str, ...]:
    """Models that predict values."""
    return model_names(RATING)


def peer_names() -> tuple[str, ...]:
    """Models of other libraries."""
    return model_names(PEER)


def listed_model(name: str, *, asked_by: str = "model=", words: Sequence[str] = ()) -> ListedModel:
    """The model of a name.

    Args:
        name: of a file of `conf/model`.
        asked_by: how the message begins, with the option that names it.
        words: further words of the command line, such as `model.dim=32`.

    Raises:
        BadConfig: there is none.
    """
    _file(name, asked_by)
    return ListedModel.of(plain(compose([f"{GROUP}={name}", *words], "train")))


def counterparts(names: Collection[str]) -> dict[str, str]:
    """Of the contenders named, each peer whose counterpart of ours is among them, and that counterpart."""
    facts = {file.stem: _facts(file) for file in group_files(GROUP) if file.stem in names}
    pairs = {name: str(found["counterpart"]) for name, found in facts.items() if found.get("counterpart")}
    return {name: ours for name, ours in pairs.items() if ours in names}


def settings_of_run(settings: Mapping[str, Any], listed: ListedModel) -> dict[str, Any]:
    """The settings that a run is trained with: groups that its model is not made of are left out.

    They are written out whole, so that a run says all its options, whatever the defaults are one day.
    """
    left_out = {*PARTS, *_OF_THE_LIST} - set(listed.all_parts)
    own = {name: value for name, value in settings.items() if name not in left_out}
    return {**own, GROUP: dict(listed.model), **{name: dict(part) for name, part in listed.all_parts.items()}}


def chosen(settings: Mapping[str, Any]) -> "tuple[dict[str, Any], Model, tuple[ListedModel, ...]]":
    """What composed settings of a training mean.

    Returns:
        The settings that the run is trained with, its unfitted model, and the listed models that it is of.

    Raises:
        BadConfig: an unknown name or option, only one of `retriever` and `ranker`, or these beside `blend`.
    """
    if settings.get("blend"):
        return _blended(settings)
    names = (settings.get("retriever"), settings.get("ranker"))
    if names == (None, None):
        listed = ListedModel.of(settings)
        return settings_of_run(settings, listed), listed.make(), (listed,)
    if None in names:
        raise BadConfig(f"retriever={names[0]} ranker={names[1]}: name both, or one model as model=NAME")
    first = _stage(str(names[0]), "retriever=", settings)
    second = _stage(str(names[1]), "ranker=", settings)
    target = "twotower.models.two_stage.TwoStage"
    model: Model = locate(target)(first=first.make(), second=second.make())
    parts = ListedModel(f"{first.name} → {second.name}", {"_target_": target}, parts={**first.parts, **second.parts})
    run = {**settings_of_run(settings, parts), "model_name": parts.name, "family": OURS}
    return {**run, "retriever": first.fixed, "ranker": second.fixed}, model, (first, second)


def _names(names: Any, model: str) -> list[str]:
    """Names of sources; one word is a list of one.

    Raises:
        BadConfig: there is something else.
    """
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) and name != model for name in names):
        raise BadConfig(f"{SOURCES}={names!r} must be names of conf/model other than {model}, such as [two_tower, als]")
    return names


def _blended(settings: Mapping[str, Any]) -> "tuple[dict[str, Any], Model, tuple[ListedModel, ...]]":
    """What `blend=[…]` means: the models' weighted scores, the weights chosen by `blend_by` on validation."""
    names = settings["blend"]
    if isinstance(names, str) or settings.get("retriever") or settings.get("ranker"):
        raise BadConfig(f"blend={names}: give a list of names of conf/model, and neither retriever= nor ranker=")
    members = tuple(_stage(str(name), "blend=", settings) for name in names)
    target = "twotower.models.blend.Blend"
    model: Model = locate(target)(members=[member.make() for member in members], metric=settings["blend_by"])
    shared = {group: options for member in members for group, options in member.parts.items()}
    parts = ListedModel(" + ".join(member.name for member in members), {"_target_": target}, parts=shared)
    run = {**settings_of_run(settings, parts), "model_name": parts.name, "family": OURS}
    return {**run, "blend": [member.fixed for member in members]}, model, members


def _stage(name: str, asked_by: str, settings: Mapping[str, Any]) -> ListedModel:
    """A listed model with its usual options; its parts, if it has any, are those of the settings."""
    return ListedModel.of(
        {**settings, "counterpart": None, "groups": None, SOURCES: None, **_facts(_file(name, asked_by))}
    )


def refuse_unused(words: Sequence[str], *listed: ListedModel) -> None:
    """Refuses words for groups that no model here is made of, which would change nothing.

    Raises:
        BadConfig: it names the word and what the models have instead.
    """
    names = " and ".join(one.name for one in listed)
    parts = {part for one in listed for part in one.all_parts}
    for word in words:
        group = word.partition("=")[0].lstrip("+~").partition(".")[0]
        if (group in PARTS and group not in parts) or (group == GROUP and len(listed) > 1):
            own = [f"model.{name}" for one in listed for name in one.model if not name.startswith("_")]
            instead = f"its options are {', '.join(own) or 'none'}" if len(listed) == 1 else "it is for one model alone"
            raise BadConfig(f"{word!r} says nothing to model={names}; {instead}")


def _file(name: str, asked_by: str) -> Path:
    """The file of a model, which messages call after the option that names it."""
    files = {file.stem: file for file in group_files(GROUP)}
    if name not in files:
        raise BadConfig(f"{asked_by}{name!r} is unknown; there are {', '.join(files)}")
    return files[name]


def _facts(file: Path) -> dict[str, Any]:
    from omegaconf import OmegaConf

    facts: Any = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    return dict(facts)
