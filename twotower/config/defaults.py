"""Options that a configuration leaves out, taken from the constructor: each is written once, there."""

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from twotower.config.compose import locate
from twotower.errors import BadConfig
from twotower.text import near

_ENTRY = re.compile(r"^    (\w+(?:, \w+)*): (.+)$", re.MULTILINE)
"""`    name, name: meaning` under a heading of a docstring."""


def with_defaults(config: Mapping[str, Any], where: str, *, leave_out: Sequence[str] = ()) -> dict[str, Any]:
    """A configuration with every option of what its `_target_` names, as plain values.

    Args:
        config: `_target_` and the options that differ from the defaults.
        where: how messages call it.
        leave_out: options that are made elsewhere.

    Raises:
        BadConfig: an option that the target does not have.
    """
    if not isinstance(config, Mapping) or "_target_" not in config:
        raise BadConfig(f"{where}: expected a mapping with _target_, got {config!r}")
    defaults = {name: value for name, value in defaults_of(config["_target_"]).items() if name not in leave_out}
    for name in config:
        if name not in defaults and name != "_target_":
            kind = str(config["_target_"]).rpartition(".")[2]
            raise BadConfig(f"{where}.{name}: {kind} has no such option; {near(name, defaults)}")
    return {"_target_": config["_target_"], **defaults, **{k: v for k, v in config.items() if k != "_target_"}}


def defaults_of(target: str) -> dict[str, Any]:
    """Every option of a constructor with its default, as plain values; those without a default are left out.

    Raises:
        BadConfig: there is no such class.
    """
    kind: Any = locate(target)
    if is_dataclass(kind):
        defaults = {f.name: f.default_factory() if f.default_factory is not MISSING else f.default
                for f in fields(kind) if f.init}  # fmt: skip
    else:
        defaults = {name: parameter.default for name, parameter in inspect.signature(kind).parameters.items()}
    missing = (MISSING, inspect.Parameter.empty)
    return {name: _plain(value) for name, value in defaults.items() if not any(value is none for none in missing)}


def meanings_of(target: str) -> dict[str, str]:
    """What every option means: the first line of its entry in the docstring's `Attributes` or `Args`."""
    kind: Any = locate(target)
    meanings: dict[str, str] = {}
    for owner in reversed(inspect.getmro(kind)[:-1]):
        for text in (owner.__doc__, getattr(owner.__dict__.get("__init__"), "__doc__", None)):
            for names, meaning in _ENTRY.findall(inspect.cleandoc(text or "")):
                meanings |= {name.strip(): meaning.strip().rstrip(".") for name in names.split(",")}
    return meanings


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
