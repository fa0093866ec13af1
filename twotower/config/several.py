"""Several values in one word of the command line, as `train.seed=0,1`: one list of words for each combination."""

from collections.abc import Sequence
from itertools import product

from twotower.errors import BadConfig
from twotower.text import one_line


def combinations(words: Sequence[str]) -> list[list[str]]:
    """Every combination of the values that words give, the last word changing fastest.

    >>> combinations(["run=x", "train.seed=0,1"])
    [['run=x', 'train.seed=0'], ['run=x', 'train.seed=1']]

    Raises:
        BadConfig: a word does not parse.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_overrides(list(words))
        values = [
            [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
            if override.is_sweep_override()
            else [word]
            for word, override in zip(words, parsed, strict=True)
        ]
    except HydraException as error:
        raise BadConfig(one_line(error)) from error
    return [list(combination) for combination in product(*values)]
