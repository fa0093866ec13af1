"""Options held against the annotations of their constructor, before it runs."""

import inspect
import types
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from twotower.errors import BadConfig

_LISTS: tuple[Any, ...] = (list, tuple, set, frozenset, Sequence, Collection, Iterable)
_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a word",
    Path: "a path",
    type(None): "null",
}


def fitting(kind: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, each of the type that the constructor asks for; one value where a list is meant is a list of one.

    Raises:
        BadConfig: it names the option, its value and what to write.
    """
    takes: Any = getattr(kind, "__init__", kind) if inspect.isclass(kind) and not is_dataclass(kind) else kind
    try:
        hints = get_type_hints(takes)
    except (NameError, TypeError, AttributeError):  # names that only a type checker imports
        return dict(options)
    return fitting_hints(hints, options, f"{kind.__name__}: ")


def fitting_hints(hints: Mapping[str, Any], options: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """The same for options whose types are known.

    Args:
        hints: name to type; `Annotated[int, Range]` is a type within a `Range`.
        options: the values; those without a type stay as they are.
        owner: what messages put before the name.

    Raises:
        BadConfig: see `fitting`.
    """
    fitted = dict(options)
    for name, value in options.items():
        if name in hints:
            fits, fitted[name] = _fitted(value, hints[name])
            if not fits:
                raise BadConfig(f"{owner}{name}={_short(value)}: write {_wanted(hints[name])}")
    return fitted


def _short(value: Any) -> str:
    said = "null" if value is None else repr(value)
    return said if len(said) <= 60 else f"{said[:59]}…"


def _fitted(value: Any, hint: Any) -> tuple[bool, Any]:
    """Whether a value is of a type, and the value as that type has it."""
    inner: tuple[Any, ...] = get_args(hint)
    origin: Any = get_origin(hint)
    if origin in (Union, types.UnionType):
        found = [_fitted(value, one) for one in sorted(inner, key=lambda one: get_origin(one) in _LISTS)]
        return next((one for one in found if one[0]), (False, value))
    if origin is Literal:
        return isinstance(value, Hashable) and value in inner, value
    if origin is Annotated:
        fits, found_value = _fitted(value, inner[0])
        return fits and all(within.holds(found_value) for within in inner[1:]), found_value
    if origin in _LISTS or hint in _LISTS:
        return _listed(value, inner)
    if origin is not None:
        return not isinstance(origin, type) or not _is_plain(value) or isinstance(value, origin), value
    return _is_one(value, hint), value


def _listed(value: Any, inner: tuple[Any, ...]) -> tuple[bool, Any]:
    if value is None or isinstance(value, Mapping):
        return False, value
    values = list(value) if isinstance(value, list | tuple | set | frozenset) else [value] if _is_plain(value) else None
    if values is None:
        return True, value
    found = [_fitted(one, inner[0]) for one in values] if inner else [(True, one) for one in values]
    fits = all(one[0] for one in found)
    return fits, [one[1] for one in found] if fits and _is_plain(value) and not isinstance(value, list) else value


def _is_one(value: Any, hint: Any) -> bool:
    if hint is float:
        return isinstance(value, Real) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if hint is Path:
        return isinstance(value, str | Path)
    if hint in (bool, str, type(None)):
        return isinstance(value, hint)
    return not (isinstance(hint, type) and _is_plain(value)) or issubclass(hint, type(value))


def _is_plain(value: Any) -> bool:
    """Whether a value is one that YAML has."""
    return value is None or isinstance(value, bool | int | float | str | list | dict)


def _wanted(hint: Any) -> str:
    """What is meant by a type, in words."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_wanted(one) for one in inner))
    if origin is Literal:
        return "one of " + ", ".join(map(str, inner)) if len(inner) > 1 else str(inner[0])
    if origin is Annotated:
        texts = [within.text for within in inner[1:]]
        return texts[0] if texts[0].startswith("a ") else ", ".join([_wanted(inner[0]), *texts])
    if origin in _LISTS or hint in _LISTS:
        return f"a list, each {_wanted(inner[0])}" if inner else "a list"
    return _WORDS.get(hint, f"what describes a {getattr(origin or hint, '__name__', hint)}")
