"""Commands that the report page tells: tried out before they are told."""

import shlex

from twotower.config.compose import compose, plain
from twotower.reports.run_diagnostics import evaluate_command


def composed(*overrides):
    return plain(compose(overrides, "evaluate"))


def test_the_command_told_composes_the_same_settings():
    settings = composed("run=small", "eval.baselines=[popular]", "eval.baseline=popular", "gold=false", "runs=[a,b]")
    (command,) = evaluate_command(settings)
    python, _, module, *overrides = shlex.split(command)
    assert (python, module) == ("python", "twotower.evaluate")
    assert composed(*overrides) == settings


def test_defaults_need_no_override():
    assert evaluate_command(composed()) == ("python -m twotower.evaluate",)


def test_settings_to_which_no_command_leads_are_not_told():
    assert evaluate_command({**composed(), "run": "two words, = signs"}) == ()
