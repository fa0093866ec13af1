"""Where `conf/` is, how a configuration is composed from it, and how a `_target_` becomes an object."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twotower.allowed import allow, named_class
from twotower.config.checked import fitting
from twotower.config.overrides import group_choices, readable, value_word
from twotower.errors import BadConfig, TwoTowerError
from twotower.text import one_line

if TYPE_CHECKING:
    from omegaconf import DictConfig

SEARCH_PATH = "hydra.searchpath"
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_SCHEME = re.compile(r"\w+://|\$\{")


def conf_dir() -> Path:
    """The folder of configuration groups: inside the package in a wheel, beside it in a checkout.

    Raises:
        BadConfig: neither is there.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parent / "conf"):
        if folder.is_dir():
            return folder
    raise BadConfig(f"no conf/ in {package} or {package.parent}; install twotower again")


def compose(overrides: Sequence[str] = (), config_name: str = "train") -> "DictConfig":
    """Composes `conf/<config_name>.yaml` with overrides such as `data=ml-1m` or `towers.dim=128`.

    Args:
        overrides: Hydra override texts. `hydra.searchpath=[file:///my/conf]` adds the caller's own groups.
        config_name: a file at the top of `conf/`, without suffix.

    Raises:
        BadConfig: an override does not parse or names a group, file or key that is not there.
    """
    overrides = without_plugins(overrides)
    refuse_hydra_words(overrides)
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    is_choice = group_choices(overrides, conf_dir())
    choices = [word for word, chooses in zip(overrides, is_choice, strict=True) if chooses]
    try:
        with initialize_config_dir(config_dir=str(conf_dir()), version_base="1.3"):
            config = hydra_compose(config_name, overrides=choices)
            if all(is_choice):
                return config
            base: Any = OmegaConf.to_container(config, resolve=False)
            words = [
                word if chooses else value_word(word, base) for word, chooses in zip(overrides, is_choice, strict=True)
            ]
            return hydra_compose(config_name, overrides=words)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise BadConfig(readable(error)) from error


def without_plugins(words: Sequence[str]) -> list[str]:
    """The other words; modules of `plugins=[my.module]` are allowed from now on.

    Raises:
        BadConfig: one is no import path or cannot be imported.
    """
    others = []
    for word in words:
        key, _, value = word.partition("=")
        if key.lstrip("+") != "plugins":
            others.append(word)
            continue
        modules = [name.strip(" '\"") for name in value.strip("[] ").split(",") if name.strip()]
        for module in modules:
            if not _MODULE.fullmatch(module):
                raise BadConfig(f"{word!r}: {module!r} is no module; write plugins=[my_package.my_module]")
        allow(*modules)
    return others


def refuse_hydra_words(overrides: Sequence[str]) -> None:
    """Refuses words for Hydra itself: of its settings only folders of further groups may be given.

    Raises:
        BadConfig: a word sets a plugin, a callback or the like, or looks for groups in a package, which would run it.
    """
    for word in overrides:
        key, _, value = word.lstrip("+~").partition("=")
        if not re.match(r"hydra\b", key) or (key == SEARCH_PATH and not _SCHEME.search(value.replace("file://", ""))):
            continue
        raise BadConfig(f"{word!r} is refused: of hydra only {SEARCH_PATH}=[file:///folder/of/groups] may be given")


def plain(config: Any) -> Any:
    """Dicts, lists and scalars with all interpolations resolved.

    Raises:
        BadConfig: an interpolation leads nowhere, or a mandatory value (`???`) is not given.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if not OmegaConf.is_config(config):
        return config
    try:
        return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise BadConfig(one_line(error)) from error


def instantiate(config: Any, *kinds: str, **options: Any) -> Any:
    """Makes the object that a configuration names by `_target_`, and those inside it.

    Interpolations are resolved first and once; what they give is data, and classes are those of `twotower.allowed`.

    Args:
        config: a mapping with `_target_` and constructor options.
        kinds: what it may be, see `twotower.allowed`; without them anything of the allow-list.
        options: options that win over those of the configuration.

    Raises:
        BadConfig: a target is not of the allow-list, or it refuses its options.
    """
    config = plain(config)
    if not isinstance(config, Mapping) or "_target_" not in config:
        raise BadConfig(f"expected a mapping with _target_, got {config!r}")
    locate(config["_target_"], *kinds)
    return _made({**config, **options})


def _made(node: Any) -> Any:
    """Objects for the mappings that name one, at any depth; everything else as it is."""
    if isinstance(node, Mapping):
        inside = {name: _made(value) for name, value in node.items() if name != "_target_"}
        return called(locate(node["_target_"]), inside) if "_target_" in node else inside
    return [_made(value) for value in node] if isinstance(node, list | tuple) else node


def called(kind: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    """A class of the allow-list with options as a configuration gives them.

    Raises:
        BadConfig: an option that it does not have, or a value of another type.
    """
    for name in options:
        if not isinstance(name, str) or name.startswith("_"):
            raise BadConfig(f"{kind.__name__}: {name!r} is refused: write the options of {kind.__name__} only")
    try:
        return kind(**fitting(kind, options))
    except TwoTowerError:
        raise
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise BadConfig(f"{kind.__module__}.{kind.__qualname__}: {one_line(error)}") from error


def locate(target: Any, *kinds: str) -> Callable[..., Any]:
    """The class that `twotower.module.Name` names, see `twotower.allowed.named_class`.

    Raises:
        BadConfig: it is not of the allow-list or does not exist.
    """
    found: Callable[..., Any] = named_class(target, *kinds)
    return found


def read_plain(path: Path, what: str) -> dict[str, Any]:
    """A YAML file from anywhere, as the plain values that it holds.

    Nothing in it is interpolated, merged or looked up, so that a foreign file can neither read the environment nor
    grow beyond its size.

    Args:
        path: the file.
        what: how messages call it.

    Raises:
        BadConfig: it cannot be read, or holds something else than a mapping of plain values.
    """
    import yaml  # type: ignore[import-untyped]
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        text = path.read_text(encoding="utf-8")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise BadConfig(f"{what} {path}: aliases (*name) are refused; write the values out")
        values = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    except (OSError, ValueError, RecursionError, AssertionError, yaml.YAMLError, OmegaConfBaseException) as error:
        if isinstance(error, TwoTowerError):
            raise
        raise BadConfig(f"{what} {path} cannot be read: {one_line(error)}") from error
    if not isinstance(values, dict) or "${" in text or {"defaults", "hydra"} & set(values):
        raise BadConfig(f"{what} {path} must hold plain values by name, without ${{…}}, defaults or hydra")
    return {str(name): value for name, value in values.items()}


def group_files(group: str) -> tuple[Path, ...]:
    """The YAML files of one group, sorted, e.g. `group_files("index")`."""
    return tuple(sorted((conf_dir() / group).glob("*.yaml")))
