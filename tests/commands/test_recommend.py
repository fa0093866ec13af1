"""`python -m twotower.recommend` on a small published run: tables, JSON, every way to be answered, every refusal."""

import json
import subprocess
import sys

import pytest

from twotower.commands.recommend import main
from twotower.errors import BadConfig
from twotower.runs.bundle import Bundle
from twotower.runs.indexing import build_index
from twotower.runs.served_run import ServedRun, ServeOptions


@pytest.fixture
def command(small_run, capsys, monkeypatch):
    """Runs the command in the folder of the run; gives status, stdout, stderr."""
    monkeypatch.chdir(small_run.runs_dir.parent)

    def run(*arguments):
        status = main(list(arguments))
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def items_of(out):
    return [place["item"] for place in json.loads(out)["items"]]


def test_table_has_a_row_per_item_with_title_features_and_both_scores(command):
    status, out, err = command("--user", "u3", "--k", "4")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "user u3, run small: known user"
    assert lines[1].split() == ["#", "item", "title", "features", "retrieval", "rank"]
    assert [line.split()[0] for line in lines[2:6]] == ["1", "2", "3", "4"]
    assert "fuel" in lines[2]
    assert "price" in lines[2]
    assert len({len(line) for line in lines[1:6]}) == 1  # columns are aligned
    assert "`make build-index` would build one" in lines[-1]


def test_json_holds_what_the_table_shows(command, small_run):
    status, out, _ = command("--user", "u3", "--k", "4", "--json")
    answer = json.loads(out)
    assert status == 0
    assert (answer["run"], answer["user"], answer["how"]) == ("small", "u3", "known user")
    assert len(answer["items"]) == 4
    first = answer["items"][0]
    assert first["title"] == f"car {first['item'] - 100}"  # external id 100 + i is "car i"
    scores = [place["rank_score"] for place in answer["items"]]
    assert scores == sorted(scores, reverse=True)
    assert (answer["explanation"], answer["gold"]) == (None, None)


def test_seen_items_are_left_out_unless_wanted(command, small_run):
    seen = set(small_run.seen("u3"))
    everything = small_run.n_items
    without = items_of(command("--user", "u3", "--k", str(everything), "--json")[1])
    assert not seen & set(without)
    assert len(without) == everything - len(seen)
    included = items_of(command("--user", "u3", "--k", str(everything), "--json", "--include-seen")[1])
    assert len(included) == everything
    assert items_of(command("--user", "u3", "--k", str(everything), "--json", "--exclude-seen")[1]) == without


def test_unknown_user_gets_popular_items_and_is_told(command, small_run):
    status, out, _ = command("--user", "nobody", "--k", "5")
    assert status == 0
    assert out.splitlines()[0] == "user nobody (not in the data set), run small: popular items"
    assert out.splitlines()[1].split() == ["#", "item", "title", "features", "events"]
    assert items_of(command("--user", "nobody", "--k", "5", "--json")[1]) == small_run.popular(5)


def test_nobody_gets_popular_items(command, small_run):
    assert items_of(command("--k", "5", "--json")[1]) == small_run.popular(5)
    assert "nobody in particular" in command("--k", "5")[1]


def test_given_history_serves_a_new_user_and_does_not_come_back(command):
    status, out, _ = command("--history", "103, 104,105", "--json", "--k", "8")
    assert status == 0
    assert json.loads(out)["how"] == "from the given history"
    assert not {103, 104, 105} & set(items_of(out))


def test_given_history_is_added_to_that_of_a_known_user(command, small_run):
    everything = str(small_run.n_items)
    out = command("--user", "u3", "--history", "100,101", "--k", everything, "--json")[1]
    assert set(items_of(out)) == set(range(100, 100 + small_run.n_items)) - set(small_run.seen("u3")) - {100, 101}


def test_rules_are_joined_by_and(command, small_run):
    out = command("--user", "u3", "--k", "40", "--json", "--where", "price<=5000", "--where", "fuel=diesel")[1]
    found = json.loads(out)["items"]
    assert found
    assert all(place["features"]["price"] <= 5000 and place["features"]["fuel"] == "diesel" for place in found)


def test_rules_that_leave_nothing_say_so(command):
    status, out, _ = command("--user", "u3", "--where", "price<0")
    assert status == 0
    assert "nothing is left to recommend" in out


def test_explanation_counts_what_each_filter_removed(command, small_run):
    out = command("--user", "u3", "--json", "--explain", "--where", "fuel=diesel", "--candidates", "500")[1]
    said = json.loads(out)["explanation"]
    n, seen = small_run.n_items, small_run.seen("u3")
    not_diesel = [i for i in range(100, 100 + n) if i not in seen and small_run.fuel(i) != "diesel"]
    assert said["retrieved"] == n
    assert said["removed"] == {"seen before": len(seen), "fuel=diesel": len(not_diesel)}
    assert said["ranked"] == n - len(seen) - len(not_diesel)


def test_explanation_names_items_of_the_history_by_falling_cosine(command, small_run):
    out = command("--user", "u3", "--json", "--explain")[1]
    for place in json.loads(out)["items"]:
        cosines = [reason["cosine"] for reason in place["because"]]
        assert cosines == sorted(cosines, reverse=True)
        assert 1 <= len(cosines) <= 3
        assert {reason["item"] for reason in place["because"]} <= set(small_run.seen("u3"))


def test_explanation_is_printed_for_people(command):
    out = command("--user", "u3", "--explain", "--k", "2")[1]
    assert "retrieved  60 nearest items; of these, filters remove" in out
    assert "seen before" in out
    assert "because    1. car" in out
    assert "cosine" in out


def test_gold_standard_says_what_retrieval_lost(command):
    few = json.loads(command("--user", "u3", "--k", "5", "--candidates", "5", "--gold", "--json")[1])
    assert len(few["gold"]) == 5
    every = json.loads(command("--user", "u3", "--k", "5", "--candidates", "60", "--gold", "--json")[1])
    assert every["gold"] == few["gold"] == [place["item"] for place in every["items"]]
    assert "5 of 5 are in the list" in command("--user", "u3", "--k", "5", "--candidates", "60", "--gold")[1]


def test_candidates_are_found_the_way_that_is_asked_for(command):
    build_index({"_target_": "twotower.ann.kmeans.KMeansIndex", "cells": 6}, "small", min_recall=0.0, n_queries=8)
    everything = ("--user", "u3", "--json", "--k", "60", "--candidates", "60")
    wanted = items_of(command(*everything)[1])
    for strategy in ("direct", "pseudo", "cluster"):  # with room for everything all find the same, in RankNet's order
        assert items_of(command(*everything, "--strategy", strategy)[1]) == wanted
    few = [json.loads(command("--user", "u3", "--json", "--strategy", s)[1])["items"] for s in ("direct", "pseudo")]
    scores = [{place["item"]: place["retrieval_score"] for place in places} for places in few]
    common = set(scores[0]) & set(scores[1])
    assert common
    assert all(scores[0][item] != scores[1][item] for item in common)  # another vector asked


def test_a_strategy_that_is_the_runs_own_can_be_left_again(small_run):
    served = ServedRun.open("small", small_run.runs_dir)
    pseudo = served.under(strategy="pseudo")
    assert pseudo.recommender.retriever is not served.direct
    assert pseudo.under(strategy="direct").recommender.retriever is served.direct


def test_an_answer_without_explanation_searches_once(small_run, monkeypatch):
    served = ServedRun.open("small", small_run.runs_dir)
    index, asked = served.direct.index, []
    search = type(index).search

    def counted(self, vectors, k):
        asked.append(k)
        return search(self, vectors, k)

    monkeypatch.setattr(type(index), "search", counted)
    short = served.answer("u3", k=5)
    assert len(asked) == 1
    long = served.answer("u3", k=5, explain=True)
    assert len(asked) == 3
    assert [place.item for place in short.items] == [place.item for place in long.items]
    assert short.explanation is None


def test_run_is_chosen_by_name_or_path(command, small_run):
    assert command("--user", "u3", "--run", "small")[0] == 0
    assert command("--user", "u3", "--run", str(small_run.runs_dir / "small"))[0] == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--run", "smal"], "BundleError: no run 'smal' in runs/; did you mean small?"),
        (["--runs-dir", "elsewhere"], "BundleError: no run in elsewhere/: type `python -m twotower.train` first"),
        (["--history", "101,999"], "UnknownId: item 999 is not in the data set"),
        (["--where", "prise<=1"], "BadConfig: rule 'prise<=1': no column 'prise'; did you mean price?"),
        (["--k", "0"], "BadInput: k must be at least 1"),
        (["--candidates", "0"], "BadConfig: n_candidates must be at least 1"),
        (["--strategy", "pseud"], "BadConfig: strategy 'pseud' is unknown; did you mean pseudo?"),
        (["--strategy", "cluster"], "BadConfig: strategy 'cluster' needs an index with cells, and ExactIndex has none"),
    ],
)
def test_error_is_one_line_and_status_one(command, arguments, says):
    status, out, err = command("--user", "u3", *arguments)
    assert (status, out) == (1, "")
    assert err.startswith(says)
    assert err.count("\n") == 1


def test_half_written_run_is_said(command, small_run):
    (small_run.runs_dir / "torn").mkdir()
    status, _, err = command("--user", "u3", "--run", "torn")
    assert status == 1
    assert "half written" in err


def test_damaged_run_is_said_and_not_loaded(command, small_run, monkeypatch):
    with (small_run.runs_dir / "small" / "histories.npz").open("ab") as file:
        file.write(b"x")
    monkeypatch.setattr(Bundle, "model", lambda self: pytest.fail("a damaged run was loaded"))
    status, _, err = command("--user", "u3")
    assert status == 1
    assert "histories.npz is damaged" in err


def test_first_run_is_asked_for_without_a_traceback(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "twotower.recommend", "--user", "42"], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == 1
    assert run.stderr == "BundleError: no run in runs/: type `python -m twotower.train` first\n"


@pytest.mark.parametrize(
    ("options", "says"),
    [({"recent": 0}, "recent must be at least 1, got 0"), ({"n_cells": -1}, "n_cells must be at least 1, got -1")],
)
def test_serve_options_that_make_no_sense_are_refused(options, says):
    with pytest.raises(BadConfig, match=says):
        ServeOptions(**options)
