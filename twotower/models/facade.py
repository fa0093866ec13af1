"""What all models have for people in Python: `fit` takes a data set too, and a `repr` shows what was changed."""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from twotower.data.dataset import Dataset
from twotower.shortcuts import shortcut


class FitsDataSets:
    """Lets the `fit` of every subclass take a data set; what then answers in the caller's ids is a `FittedModel`."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Wraps the `fit` that the class defines itself."""
        super().__init_subclass__(**options)
        if "fit" in cls.__dict__:
            cls.fit = _of_data_sets_too(cls.__dict__["fit"])  # type: ignore[attr-defined]


def _of_data_sets_too(fit: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fit)
    def either(self: Any, split: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(split, Dataset):
            return shortcut("fit")(self, split, *arguments, **options)
        return fit(self, split, *arguments, **options)

    return either


def changed_options(
    options: Mapping[str, Any], defaults: Mapping[str, Any], under: str = ""
) -> Iterator[tuple[str, Any]]:
    """Options that differ from the defaults, those of groups under the group's name."""
    for name, value in options.items():
        default = defaults[name]
        if isinstance(value, Mapping) and isinstance(default, Mapping):
            yield from changed_options(value, default, f"{under}{name}.")
        elif value != default:
            yield f"{under}{name}", value
