"""Classes that a file or a word of the command line may name: an allow-list, what packages register, plugins."""

import importlib
import inspect
import os
import re
from importlib.metadata import entry_points
from typing import Any, Final

from twotower.errors import BadConfig
from twotower.text import one_line

PLUGINS: Final = "twotower.plugins"
"""Group of entry points by which an installed package registers its classes: `name = my_package.module:MyModel`."""
MODEL, INDEX, SOURCE, SPLITTER, OPTIONS = "model", "index", "source", "splitter", "options"
_ROOMS: Final = {
    MODEL: ("twotower.models", ("fit", "recommend", "save", "load")),
    INDEX: ("twotower.ann", ("build", "load")),
    SOURCE: ("twotower.data.sources", ("load", "files")),
    SPLITTER: ("twotower.data.splitters", ("split",)),
}
"""Kind to the package where such classes are defined, and the methods by which they are known."""
_MORE: Final = {
    "twotower.models.two_tower.options.TowerOptions": OPTIONS,
    "twotower.models.two_tower.options.FeatureOptions": OPTIONS,
    "twotower.models.two_tower.options.TrainOptions": OPTIONS,
    "twotower.models.two_tower.objective.Objective": OPTIONS,
    "twotower.models.two_tower.objective.JointObjective": OPTIONS,
    "twotower.runs.served_run.ServeOptions": OPTIONS,
    "twotower.data.sources.tabular.from_yaml": SOURCE,
}
"""What is named one by one: groups of options, and the one function, which only reads the YAML of own data."""
_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
PLUGIN_MODULES: Final = "TWOTOWER_PLUGINS"
"""Environment variable with modules of the user's own, split by commas; processes that are started inherit it."""
_WHAT = "only models, indexes, sources, splitters and groups of options of twotower, and what a package registers"


def named_class(target: object, *kinds: str) -> Any:
    """The class of an import path, if it is of the allow-list.

    Nothing is imported but modules of the packages where such classes live, or what a package registers.

    Args:
        target: such as `twotower.ann.exact.ExactIndex`.
        kinds: some of `MODEL`, `INDEX`, `SOURCE`, `SPLITTER`, `OPTIONS`; without them any.

    Raises:
        BadConfig: it is not on the list, of another kind, or not there.
    """
    if not isinstance(target, str) or not _PATH.fullmatch(target):
        raise BadConfig(f"_target_ {target!r} is refused: {_WHAT} may be named")
    if target in _MORE:
        return _of_kind(target, _attribute(target), _MORE[target], kinds)
    for kind, (room, methods) in _ROOMS.items():
        if target.startswith(f"{room}."):
            found = _attribute(target)
            if not (inspect.isclass(found) and found.__module__.startswith(room) and _has(found, methods)):
                break
            return _of_kind(target, found, kind, kinds)
    if target in _registered():
        found = _attribute(target)
        if inspect.isclass(found):
            kind = next((kind for kind, (_, methods) in _ROOMS.items() if _has(found, methods)), OPTIONS)
            return _of_kind(target, found, kind, kinds)
    if target.rpartition(".")[0] in _plugin_modules():
        found = _attribute(target)
        of = next((k for k, (_, methods) in _ROOMS.items() if inspect.isclass(found) and _has(found, methods)), None)
        if of is not None:
            return _of_kind(target, found, of, kinds)
    raise BadConfig(
        f"_target_ {target!r} is refused: {_WHAT} (entry points {PLUGINS!r}) or a module of plugins=[…] may be named"
    )


def allow(*modules: str) -> None:
    """Lets models, indexes, sources and splitters of some modules be named too, in this process and those it starts.

    Only the user says this, in Python, as `plugins=[my.module]` or by the variable `TWOTOWER_PLUGINS`; no file can.

    Args:
        modules: import paths, such as `my_package.models`.

    Raises:
        BadConfig: one cannot be imported.
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:  # whatever the user's own module does
            raise BadConfig(
                f"plugins: {module!r} cannot be imported: {type(error).__name__}: {one_line(error)}"
            ) from error
    os.environ[PLUGIN_MODULES] = ",".join(dict.fromkeys([*_plugin_modules(), *modules]))


def _plugin_modules() -> list[str]:
    return [name.strip() for name in os.environ.get(PLUGIN_MODULES, "").split(",") if name.strip()]


def _registered() -> set[str]:
    """Import paths that installed packages register."""
    return {entry.value.partition("[")[0].strip().replace(":", ".") for entry in entry_points(group=PLUGINS)}


def _attribute(target: str) -> Any:
    module, _, name = target.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise BadConfig(f"_target_ {target!r}: {one_line(error)}") from error


def _has(found: type, methods: tuple[str, ...]) -> bool:
    return all(callable(getattr(found, name, None)) for name in methods)


def _of_kind(target: str, found: Any, kind: str, kinds: tuple[str, ...]) -> Any:
    if kinds and kind not in kinds:
        raise BadConfig(f"_target_ {target!r} is refused here: it is of the kind {kind}, not {' or '.join(kinds)}")
    return found
