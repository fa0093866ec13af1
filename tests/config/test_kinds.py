"""Settings of commands: every one has a kind, and what is not of it is refused in one line."""

from typing import get_type_hints

import pytest

from twotower.config.compose import compose, conf_dir
from twotower.config.kinds import KINDS, checked_settings
from twotower.config.models import PARTS
from twotower.errors import BadConfig

GROUPS = {*PARTS, "model", "serve", "protocol", "data", "index", "model_name", "family", "counterpart", "groups"}
"""What classes of their own check."""


def settings(command: str) -> dict:
    from omegaconf import OmegaConf

    return OmegaConf.to_container(compose([], command), resolve=False)


def changed(command: str, key: str, value: object) -> dict:
    whole = settings(command)
    inside = whole
    *above, name = key.split(".")
    for part in above:
        inside = inside[part]
    inside[name] = value
    return whole


def test_every_command_and_every_setting_has_a_kind():
    assert set(KINDS) == {file.stem for file in conf_dir().glob("*.yaml")}
    for command, kind in KINDS.items():
        own = set(settings(command)) - GROUPS - {"search", "sources", "hydra"}
        assert own == set(get_type_hints(kind)), command


@pytest.mark.parametrize("command", KINDS)
def test_settings_as_they_stand_are_of_their_kinds(command):
    as_they_stand = {name: "x" if value == "???" else value for name, value in settings(command).items()}
    assert checked_settings(as_they_stand, command) == as_they_stand


@pytest.mark.parametrize(
    ("command", "key", "value", "says"),
    [
        ("build_index", "recall_at", "abc", "recall_at='abc': write a list, each a whole number of at least 1"),
        ("verify_index", "recall_at", ["~/none"], "recall_at=['~/none']: write a list"),
        ("verify_index", "n_queries", "*", "n_queries='*': write a whole number of at least 1 or null"),
        ("verify_index", "n_queries", ["x", "y"], "n_queries=['x', 'y']: write a whole number"),
        ("evaluate", "eval.ks", ["x", "y"], "eval.ks=['x', 'y']: write a list, each a whole number"),
        ("evaluate", "eval.ks", [], "eval.ks=[]: write"),
        ("evaluate", "eval.level", 1.5, "eval.level=1.5: write a number, from 0 to 1"),
        ("evaluate", "gold", "maybe", "gold='maybe': write true or false or auto"),
        ("evaluate", "eval.seed", 2**32, "eval.seed=4294967296: write a whole number from 0 to 4294967295"),
        ("train", "as_of", "now", "as_of='now': write one of newest, test"),
        ("train", "threads", 0, "threads=0: write a whole number of at least 1 or null"),
        ("tune", "trials", True, "trials=True: write a whole number"),
        ("benchmark", "minutes_per_model", float("nan"), "minutes_per_model=nan: write a number, above 0 or null"),
        ("build_shards", "merge", {"a": 1}, "merge={'a': 1}: write one of memory, disk"),
    ],
)
def test_another_kind_is_refused(command, key, value, says):
    with pytest.raises(BadConfig) as error:
        checked_settings(changed(command, key, value), command)
    assert says in str(error.value)


def test_one_value_where_a_list_is_meant_is_a_list_of_one():
    assert checked_settings(changed("evaluate", "eval.ks", 10), "evaluate")["eval"]["ks"] == [10]
