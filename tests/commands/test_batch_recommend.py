"""`python -m twotower batch-recommend`: for every user the list that the run gives to one, in external ids."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from twotower.commands.batch_recommend import main
from twotower.runs.served_run import ServedRun
from twotower.storage.unfinished import read_success

NOBODY = "somebody new"


@pytest.fixture
def here(small_run, monkeypatch):
    monkeypatch.chdir(small_run.runs_dir.parent)
    return small_run


def lists_of(out: str) -> dict[str, list[tuple[int, float, str]]]:
    """User to (item, score, how) by rank, from the files in their order."""
    read_success(Path(out))
    rows = pa.concat_tables([pq.read_table(f) for f in sorted(Path(out).glob("part-*.parquet"))]).to_pylist()
    found: dict[str, list[tuple[int, float, str]]] = {}
    for row in rows:
        found.setdefault(row["user"], []).append((row["item"], row["score"], row["how"]))
        assert row["rank"] == len(found[row["user"]])
    return found


def assert_answers(found, served, k):
    for user, places in found.items():
        answer = served.answer(user, k=k)
        assert [item for item, _, _ in places] == [place.item for place in answer.items]
        np.testing.assert_allclose([s for _, s, _ in places], [p.rank_score for p in answer.items], atol=2e-5)
        assert {how for _, _, how in places} == {answer.how}


def test_every_user_of_the_run_gets_the_list_that_one_request_gives(here, capsys):
    assert main(["out=lists", "k=5", "part_rows=7", "batch_rows=3"]) == 0
    assert "recommended: 125 rows in 4 files" in capsys.readouterr().out
    found = lists_of("lists")
    assert list(found) == [f"u{i}" for i in range(25)]
    assert_answers(found, ServedRun.open("small"), 5)


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".tsv"])
def test_users_of_a_file_are_served_in_its_order_and_unknown_ones_get_popular_items(here, suffix):
    users = ["u7", NOBODY, "u0"]
    file = Path(f"some{suffix}")
    if suffix == ".parquet":
        pq.write_table(pa.table({"customer": users, "age": [1, 2, 3]}), file)
    else:
        gap = "\t" if suffix == ".tsv" else ","
        file.write_text("\n".join([f"age{gap}customer", *(f"1{gap}{user}" for user in users)]) + "\n")
    assert main(["out=lists", f"users={file}", "column=customer"]) == 0
    found = lists_of("lists")
    assert list(found) == users
    assert [item for item, _, _ in found[NOBODY]] == here.popular(10)
    assert {how for _, _, how in found[NOBODY]} == {"popular items"}
    assert_answers(found, ServedRun.open("small"), 10)
    assert not list(Path().glob(".lists.ids*"))


def test_serve_options_hold_for_all_lists(here):
    words = ["where=['fuel=diesel','price<=6000']", "candidates=20", "exclude_seen=false"]
    assert main(["out=lists", "k=8", *words]) == 0
    options = {"where": ["fuel=diesel", "price<=6000"], "n_candidates": 20, "exclude_seen": False}
    found = lists_of("lists")
    assert {here.fuel(item) for places in found.values() for item, _, _ in places} == {"diesel"}
    assert_answers(found, ServedRun.open("small").under(**options), 8)


def test_lists_that_come_out_short_have_no_padding(here):
    assert main(["out=lists", "where=['price<=1200']", "k=10", "exclude_seen=false"]) == 0
    assert {len(places) for places in lists_of("lists").values()} == {2}  # cars 100 and 101


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "Missing mandatory value: out"),
        (["out=lists", "run=smal"], "no run 'smal' in runs/; did you mean small"),
        (["out=runs"], "runs exists; give out=<another folder>, or overwrite=true"),
        (["out=lists", "users=absent.csv"], "absent.csv: no such file"),
        (["out=lists", "users=absent.parquet"], "absent.parquet: no Parquet file there"),
        (["out=lists", "users=users.csv", "column=who"], "column 'who' cannot be read"),
        (["out=lists", "k=0"], "k=0: write a whole number of at least 1"),
        (["out=lists", "engine=spark"], "engine 'spark': choose one of local, ray"),
        (["out=lists", "where=['colour=red']"], "no column 'colour'"),
        (["out=lists", "strategy=magic"], "magic"),
        (["--run", "small"], "'--run': this command takes KEY=VALUE"),
    ],
)
def test_what_is_wrong_is_one_line_and_leaves_nothing(here, capsys, words, says):
    Path("users.csv").write_text("user\nu1\n")
    assert main(words) == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert says in told
    assert not Path("lists").exists()


def test_a_row_without_an_id_is_named(here, capsys):
    pq.write_table(pa.table({"user": ["u1", "u2", None]}), "users.parquet")
    assert main(["out=lists", "users=users.parquet", "batch_rows=2"]) == 1
    assert "row 3 of the input has no user id" in capsys.readouterr().err


def test_without_ray_the_remedy_is_named(here, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["out=lists", "engine=ray"]) == 1
    assert capsys.readouterr().err == (
        "BadConfig: engine=ray needs Ray: pip install 'twotower[distributed]', or take engine=local\n"
    )


def test_help_names_the_engines(capsys):
    assert main(["--help"]) == 0
    assert "engine=local        or ray" in capsys.readouterr().out
