"""`KEY=VALUE` words as Hydra takes them: keys that there are, values that parse, one word where a list is meant."""

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from twotower.allowed import named_class
from twotower.errors import BadConfig
from twotower.text import near, one_line

_LISTS = frozenset(
    ("runs", "pairings", "strategies", "data.positives.kinds", "serve.where", "where", "recall_at", "backends")
)
"""Settings that are lists where they are given, though their files may say null."""
_FREE = ("grids.", "search.")
"""What stands below is named by whoever writes it; the command that reads it checks it."""
_PLACES = frozenset(("path", "root", "folder", "out", "prepared", "runs_dir", "dropped_to", "index_file", "tuned",
                     "items", "users", "vectors", "queries", "json"))  # fmt: skip
"""Names of settings whose values are paths, which may hold any character."""
_NEEDED = frozenset(("run", "runs_dir", "out", "prepared", "device", "name", "engine"))
"""Settings that are nothing without a word."""
_KEY = re.compile(r"[A-Za-z_][\w-]*(\.[\w-]+)*")


def value_word(word: str, base: Mapping[str, Any]) -> str:
    """A word that sets a value, as Hydra takes it.

    Args:
        word: `KEY=VALUE`, perhaps with `+` or `++` before it.
        base: what is composed without it, as plain values.

    Raises:
        BadConfig: there is no such setting, or the value cannot be one of it.
    """
    key, sign, value = word.lstrip("+").partition("=")
    if word.startswith("~"):
        raise BadConfig(f"{word!r}: settings cannot be taken away; write {key.lstrip('~')}=null if nothing is meant")
    if not sign or not _KEY.fullmatch(key):
        raise BadConfig(f"{word!r}: write KEY=VALUE, e.g. train.epochs=3")
    current = None if key.startswith(_FREE) else _at(key, base)
    return f"++{key}={_value(word, key, value, current)}"


def _at(key: str, base: Mapping[str, Any]) -> Any:
    """What stands at a key; None where only the constructor has the option.

    Raises:
        BadConfig: there is no such setting.
    """
    node: Any = base
    parts = key.split(".")
    for at, part in enumerate(parts):
        under = ".".join(parts[:at])
        if isinstance(node, Mapping) and part in node and not (part.startswith("_") and part != "_target_"):
            node = node[part]
            continue
        options = options_of(node)
        if part in options:
            return None
        names = [*options, *(node if isinstance(node, Mapping) else ())]
        known = [f"{under}.{name}" if under else name for name in names if not name.startswith("_")]
        if not under:  # asks every class for its options, and some load torch
            known += [place for place in _places(base) if place.endswith(f".{part}")]
        raise BadConfig(f"{key}: there is no such setting; {near('.'.join(parts[: at + 1]), dict.fromkeys(known))}")
    return node


def options_of(node: Any) -> list[str]:
    """Options of the constructor that a mapping names."""
    if not isinstance(node, Mapping) or not isinstance(node.get("_target_"), str):
        return []
    return [name for name in inspect.signature(named_class(node["_target_"])).parameters if not name.startswith("_")]


def _places(node: Mapping[str, Any], under: str = "") -> Iterator[str]:
    """Every dotted place of a tree of settings."""
    for name, child in node.items():
        if isinstance(child, Mapping):
            yield from _places(child, f"{under}{name}.")
            yield from (f"{under}{name}.{option}" for option in options_of(child))
        else:
            yield f"{under}{name}"


def _value(word: str, key: str, value: str, current: Any) -> str:
    """The text of a value as Hydra takes it."""
    if value == "~" or value.startswith("~/"):
        value = str(Path(value).expanduser())
    is_place = key.rpartition(".")[2] in _PLACES and not isinstance(current, list | Mapping)
    is_place &= not key.startswith("model.")  # options of models are no paths, though some are called users
    if is_place and value not in ("null", "") and value[0] not in "'\"" and "${" not in value:
        return _quoted(value)
    meant = _parsed(value)
    if meant is None:
        if value[:1] in ("[", "{", "'", '"') or "${" in value:
            raise BadConfig(f"{word!r} does not parse; close every bracket and quotation mark")
        return _of_type(word, key, _quoted(value), value, current)
    kind, content = meant
    wants_list = isinstance(current, list) or key in _LISTS
    if kind == "several":
        return f"[{value}]" if wants_list else _of_type(word, key, _quoted(value), value, current)
    if wants_list and not isinstance(content, list | dict) and content is not None and "${" not in value:
        return f"[{value}]"
    return _of_type(word, key, value, content, current)


def _of_type(word: str, key: str, value: str, content: Any, current: Any) -> str:
    """The value, if it is of the type of the one that it takes the place of."""
    if content is None and isinstance(current, str) and key in _NEEDED:
        raise BadConfig(f"{word!r}: write a word")
    number = isinstance(content, int | float) and not isinstance(content, bool)
    if isinstance(current, str) and current != "???" and number:
        return _quoted(value)
    if (
        isinstance(current, Mapping | list)
        or current is None
        or content is None
        or "${" in value
        or "${" in str(current)
    ):
        return value
    if isinstance(current, bool) and not isinstance(content, bool):
        raise BadConfig(f"{word!r}: write true or false")
    if isinstance(current, int | float) and not isinstance(current, bool):
        if not number:
            raise BadConfig(f"{word!r}: write a number")
        return value
    return value


def _parsed(value: str) -> tuple[str, Any] | None:
    """Whether a text is one value or several, and the value; None where Hydra cannot read it."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        override = OverridesParser.create().parse_override(f"key={value}")
        if override.is_sweep_override():
            return "several", None
        content = override.value()
    except (HydraException, ValueError, RecursionError):
        return None
    return "one", content if isinstance(content, list | dict | bool | int | float) or content is None else str(content)


def _quoted(value: str) -> str:
    """A text between quotation marks, as it is."""
    inner = re.sub(r"(\\*)'", r"\1\1\\'", value)
    inner = re.sub(r"(\\+)$", r"\1\1", inner)
    return f"'{inner}'"


def group_choices(words: Sequence[str], conf: Path) -> list[bool]:
    """Of every word whether it chooses a file of a group, such as `data=ml-1m`, or says where further groups are."""
    return [_chooses(word, conf) for word in words]


def _chooses(word: str, conf: Path) -> bool:
    key = word.lstrip("+").partition("=")[0]
    return key.startswith("hydra.") or (bool(re.fullmatch(r"[\w/]+", key)) and (conf / key).is_dir())


def readable(error: Exception) -> str:
    """What Hydra says, without its advice to append keys."""
    said = one_line(error).partition("See https://hydra.cc")[0]
    missing = re.search(
        r"Could not find '([\w/]+)/([^']*)'(?:.*Available options in '[^']*': (.*?))? Config search", said
    )
    if missing:
        group, name, names = missing.groups()
        return f"{group}={name}: there is no such file in conf/{group}; {near(name, (names or '').split())}"
    return said.partition("To append to your config")[0].strip()
