"""Where `conf/` is, how a configuration is composed from it, and the only door from a `_target_` to a class."""

import importlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twotower.errors import BadConfig
from twotower.text import one_line

if TYPE_CHECKING:
    from omegaconf import DictConfig

ALLOWED_PREFIX = "twotower."
OPEN_GROUPS = ("model", "towers", "features", "objective", "train", "serve", "index", "protocol")
"""Groups whose files hold what differs from the constructors' defaults; every other option can be typed as well."""


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
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException, OverrideParseException
    from omegaconf.errors import OmegaConfBaseException

    try:
        with initialize_config_dir(config_dir=str(conf_dir()), version_base="1.3"):
            return hydra_compose(config_name, overrides=opened(overrides))
    except OverrideParseException as error:
        raise BadConfig(f"override {error.override!r} does not parse: {one_line(error)}") from error
    except (HydraException, OmegaConfBaseException) as error:
        raise BadConfig(one_line(error)) from error


def opened(overrides: Sequence[str]) -> list[str]:
    """Words such as `train.lr=0.01` as Hydra takes them where the file of the group does not name the option.

    >>> opened(["train.lr=0.01", "data=ml-1m", "+train.lr=1"])
    ['++train.lr=0.01', 'data=ml-1m', '+train.lr=1']
    """
    dotted = tuple(f"{group}." for group in OPEN_GROUPS)
    return [f"++{word}" if word.startswith(dotted) and "=" in word else word for word in overrides]


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


def instantiate(config: Any, **options: Any) -> Any:
    """Makes the object that a configuration names by `_target_`, and those inside it.

    Args:
        config: a mapping with `_target_` and constructor options.
        options: options that win over those of the configuration.

    Raises:
        BadConfig: a target is not a class or function of `twotower`, or it refuses its options.
    """
    from hydra.errors import HydraException
    from hydra.utils import instantiate as hydra_instantiate

    config = plain(config)
    if not isinstance(config, Mapping) or "_target_" not in config:
        raise BadConfig(f"expected a mapping with _target_, got {config!r}")
    for target in _targets(config):
        locate(target)
    try:
        return hydra_instantiate(config, **options, _convert_="all")
    except HydraException as error:
        cause = error.__cause__ or error
        if isinstance(cause, TypeError):
            raise BadConfig(f"{config['_target_']}: {one_line(cause)}") from error
        raise cause from None


def locate(target: Any) -> Callable[..., Any]:
    """The class or function that `twotower.module.Name` names.

    The name must be defined in `twotower` itself: `twotower.runs.bundle.os.system` is refused too.

    Raises:
        BadConfig: it is defined elsewhere or does not exist.
    """
    if not isinstance(target, str) or not target.startswith(ALLOWED_PREFIX):
        raise BadConfig(f"_target_ {target!r} is refused: only classes and functions of twotower may be named")
    module, _, name = target.rpartition(".")
    try:
        named = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise BadConfig(f"_target_ {target!r}: {one_line(error)}") from error
    if not (inspect.isclass(named) or inspect.isfunction(named)) or not named.__module__.startswith(ALLOWED_PREFIX):
        raise BadConfig(f"_target_ {target!r} is refused: it is not a class or function defined in twotower")
    return named


def group_files(group: str) -> tuple[Path, ...]:
    """The YAML files of one group, sorted, e.g. `group_files("index")`."""
    return tuple(sorted((conf_dir() / group).glob("*.yaml")))


def _targets(config: Any) -> Iterator[Any]:
    """Every `_target_` at any depth."""
    children: Iterable[Any] = ()
    if isinstance(config, Mapping):
        if "_target_" in config:
            yield config["_target_"]
        children = config.values()
    elif isinstance(config, list | tuple):
        children = config
    for child in children:
        yield from _targets(child)
