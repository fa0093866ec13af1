"""The options of a model as text, for `train model=NAME --help`."""

from typing import Any

from twotower.config.defaults import meanings_of
from twotower.config.models import GROUP, ListedModel


def options_text(listed: ListedModel) -> str:
    """The options of a model as they are typed, with their values where nothing is typed, and what each means."""
    kinds = {GROUP: listed.model, **listed.parts}
    lines = [f"options of model={listed.name}:"]
    for group, options in kinds.items():
        meanings = meanings_of(options["_target_"])
        rows = [(f"{group}.{name}={_typed(value)}", meanings.get(name, "")) for name, value in options.items()
                if not name.startswith("_")]  # fmt: skip
        lines += [f"  {word:<36} {meaning}".rstrip() for word, meaning in rows]
    return "\n".join(lines)


def _typed(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value).replace("'", "")
