"""What the commands share: help, words as settings, lists among them, errors in one line."""

import doctest

import pytest

from twotower.commands import words
from twotower.commands.words import listed, names_in, run_words, settings_of
from twotower.config.compose import compose, plain
from twotower.errors import BadConfig


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(words).failed == 0


@pytest.mark.parametrize("typed", [["-h"], ["--help"], ["run=x", "--help"]])
def test_whoever_asks_for_help_gets_the_usage_and_nothing_is_done(typed, capsys):
    ran = []
    assert run_words(typed, lambda: "usage: so", ran.append) == 0
    assert (capsys.readouterr().out, ran) == ("usage: so\n", [])


def test_other_words_reach_the_command_and_those_of_the_process_where_none_are_given(monkeypatch):
    ran = []
    monkeypatch.setattr("sys.argv", ["twotower", "run=typed"])
    assert [run_words(given, lambda: "", ran.append) for given in (["run=x"], [], None)] == [0, 0, 0]
    assert ran == [["run=x"], [], ["run=typed"]]


def test_what_a_command_refuses_ends_with_status_1_and_one_line(capsys):
    def refuse(words):
        raise BadConfig("no\n  such thing")

    assert run_words([], lambda: "", refuse) == 1
    assert capsys.readouterr().err == "BadConfig: no such thing\n"


def test_settings_are_the_configuration_under_the_words():
    before, after = plain(compose([], "verify_index")), settings_of(["calls=7"], "verify_index")
    assert after["calls"] == 7 != before["calls"]
    assert after == before | {"calls": 7}


@pytest.mark.parametrize("word", ["--calls=7", "-k", "calls", "run small"])
def test_a_word_that_is_no_setting_is_named_with_an_example(word):
    with pytest.raises(BadConfig, match=f"'{word}': this command takes KEY=VALUE, e.g. data=ml-1m; see --help"):
        settings_of(["run=x", word], "verify_index", example="data=ml-1m")


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("latency_at=10,20", [10, 20]),
        ("latency_at=10", [10]),
        ("latency_at=[10,20]", [10, 20]),
        ("latency_at=", []),
        ("recall_at=null", None),
    ],
)
def test_a_list_is_typed_with_commas(word, value):
    assert settings_of([word], "verify_index", lists=("latency_at",))[word.partition("=")[0]] == value


def test_a_key_that_holds_no_list_keeps_its_commas():
    assert listed("where=a,b", {"runs"}) == "where=a,b"


def test_a_group_is_told_by_its_files():
    assert names_in("index").split(", ")[0] == "annoy"
