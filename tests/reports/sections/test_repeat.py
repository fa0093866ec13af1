"""Section `repeat`: commands that are tried out before they are shown."""

import shlex

from twotower.config.compose import compose, plain
from twotower.reports.sections.repeat import evaluate_command


def composed(*overrides):
    return plain(compose(overrides, "evaluate"))


def test_the_command_shown_composes_the_same_settings():
    settings = composed("run=small", "eval.baselines=[popular]", "eval.baseline=popular", "gold=false", "runs=[a,b]")
    (command,) = evaluate_command(settings)
    python, _, module, *overrides = shlex.split(command)
    assert (python, module) == ("python", "twotower.evaluate")
    assert composed(*overrides) == settings


def test_defaults_need_no_override():
    assert evaluate_command(composed()) == ("python -m twotower.evaluate",)


def test_settings_of_any_characters_are_shown_as_they_are_typed():
    (command,) = evaluate_command({**composed(), "run": "two words, = signs"})
    assert composed(*shlex.split(command)[3:])["run"] == "two words, = signs"
