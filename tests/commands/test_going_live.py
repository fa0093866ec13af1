"""What is served knows all events: nothing touched comes back, nobody is lost, and a production run learns from all."""

import json

import numpy as np
import pandas as pd
import pytest

from twotower.commands import batch_recommend, evaluate, train
from twotower.config.build import make_split
from twotower.config.compose import compose, plain
from twotower.models.base import Model
from twotower.runs.bundle import Bundle
from twotower.runs.prepared import load_prepared
from twotower.runs.served_run import ServedRun

N_ITEMS = 12


@pytest.fixture(scope="module")
def log():
    """30 users rate 6 of 12 items, 1 to 5 stars; u98 liked nothing, u99 came last of all and liked one item."""
    rng = np.random.default_rng(3)
    rows = [
        (f"u{user:02d}", f"i{item:02d}", int(rng.integers(10**9, 10**9 + 10**7)), 1 + (user + item) % 5)
        for user in range(30)
        for item in rng.permutation(N_ITEMS)[:6]
    ]
    rows += [("u98", "i03", 10**9 + 5, 1), ("u98", "i04", 10**9 + 6, 2), ("u99", "i05", 10**9 + 2 * 10**7, 5)]
    return pd.DataFrame(rows, columns=["user", "item", "time", "stars"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory, log):
    """Trains a model on the log into a folder of its own; gives the run's bundle."""
    folder = tmp_path_factory.mktemp("live")
    log.to_csv(folder / "events.csv", index=False)
    (folder / "shop.yaml").write_text(
        "interactions: {path: events.csv, user: user, item: item, time: time, value: stars, dislike: {max_value: 1}}\n"
    )

    def run(name: str, *words: str) -> Bundle:
        fixed = ("data=own", f"data.source.path={folder}/shop.yaml", f"runs_dir={folder}/runs", "progress=false")
        assert train.main([*fixed, f"prepared={folder}/none", "threads=1", f"run={name}", *words]) == 0
        return Bundle.open(name, folder / "runs")

    return run


@pytest.fixture(scope="module")
def liked(trained):
    """ALS on four and five stars, published as it comes."""
    return trained("liked", "model=als", "model.dim=4", "data.positives.min_value=4")


def lists(run: ServedRun, users) -> dict[str, set[str]]:
    return {user: {place.item for place in run.answer(user, k=N_ITEMS).items} for user in users}


def test_nobody_gets_back_what_stands_under_their_name_liked_or_not(liked, log):
    served = ServedRun.open(liked.directory)
    for user, items in lists(served, log.user.unique()).items():
        touched = set(log.item[log.user == user])
        assert items == {f"i{i:02d}" for i in range(N_ITEMS)} - touched


def test_disliked_items_stay_away_even_where_seen_ones_may_return(liked, log):
    served = ServedRun.open(liked.directory).under(exclude_seen=False)
    for user, items in lists(served, log.user.unique()).items():
        hated = set(log.item[(log.user == user) & (log.stars <= 1)])
        assert items == {f"i{i:02d}" for i in range(N_ITEMS)} - hated


def test_histories_hold_all_positives_and_the_moment_is_that_of_the_newest_event(liked, log):
    files = liked.serving()
    assert len(files.histories.values) == (log.stars >= 4).sum()
    assert len(files.exclusions.values) == len(log)
    assert files.at == log.time.max()


def test_a_user_without_positives_or_features_gets_the_popular_list_and_its_heading(liked):
    answer = ServedRun.open(liked.directory).answer("u98", k=3)
    nobody = ServedRun.open(liked.directory).answer(None, k=N_ITEMS)
    assert (answer.how, answer.known) == ("popular items", True)
    touched = {"i03", "i04"}
    assert [p.item for p in answer.items] == [p.item for p in nobody.items if p.item not in touched][:3]


def test_a_user_who_came_after_the_training_is_known_and_served_by_the_history(liked):
    served = ServedRun.open(liked.directory)
    late, given = served.answer("u99", k=5), served.answer(None, history=["i05"], k=5)
    assert late.how == "known user"
    assert [p.item for p in late.items] == [p.item for p in given.items]


def test_evaluations_keep_the_moment_of_the_test(liked):
    config = liked.config()
    test = make_split(config, load_prepared(config["data"], liked.directory / "none")).test
    served = ServedRun.open(liked.directory)
    assert served.popularity_then.tolist() == test.history.item_counts().tolist()
    assert served.files.popularity.sum() > served.popularity_then.sum()


def test_as_of_test_serves_without_the_events_of_the_test(trained, log):
    bundle = trained("then", "model=als", "model.dim=4", "as_of=test")
    assert len(bundle.serving().histories.values) < len(log)
    assert bundle.serving().at < log.time.max()


@pytest.mark.parametrize("model", [("model=als", "model.dim=4"), ("model=mf_bpr", "model.dim=4", "model.epochs=3")])
def test_a_production_run_learns_from_all_events_with_the_options_that_were_found(trained, log, capsys, model):
    bundle = trained(f"live-{model[0][6:]}", *model, "production=true")
    out = capsys.readouterr().out
    assert "on the test: map@10" in out
    assert bundle.manifest["production"].keys() >= {"map@10", "recall@10"}
    n_positive = int((log.stars > 1).sum())
    assert len(bundle.serving().histories.values) == n_positive
    served: Model = bundle.model()
    settings = bundle.config()
    split = make_split(settings, load_prepared(settings["data"], bundle.directory / "none")).whole()
    assert len(split.train) == n_positive
    assert not split.watches_validation
    again = type(served)(**served.options()).fit(split)
    for name, array in again.state().items():
        np.testing.assert_array_equal(array, served.state()[name])


def test_a_production_run_is_not_evaluated_on_what_it_has_learnt(trained, capsys):
    bundle = trained("live", "model=als", "model.dim=4", "production=true")
    assert evaluate.main([f"runs_dir={bundle.directory.parent}", "run=live"]) == 1
    assert "has learnt from all events (production=true)" in capsys.readouterr().err


def test_another_moment_than_the_two_is_refused_before_anything_is_read(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert train.main(["data=own", "data.source.path=absent.yaml", "as_of=now"]) == 1
    assert "as_of='now': write one of newest, test" in capsys.readouterr().err
    assert plain(compose([], "train"))["as_of"] == "newest"
    assert json.dumps(plain(compose(["production=true", "data=ml-1m"], "train"))["production"]) == "true"


def test_batches_say_of_each_user_the_same_as_single_answers(liked, log, tmp_path):
    fan = str(log.user[log.stars >= 4].iloc[0])
    pd.DataFrame({"user": [fan, " u98", "u99", "nobody"]}).to_parquet(tmp_path / "users.parquet")
    words = [f"users={tmp_path}/users.parquet", f"out={tmp_path}/lists", f"run={liked.directory}", "k=2"]
    assert batch_recommend.main(words) == 0
    lists = pd.concat(pd.read_parquet(part) for part in sorted((tmp_path / "lists").glob("part-*.parquet")))
    served = ServedRun.open(liked.directory)
    for user, rows in lists.groupby("user"):
        answer = served.answer(user, k=2)
        assert rows.how.unique().tolist() == [answer.how]
        assert rows.item.tolist() == [place.item for place in answer.items]
    assert lists.groupby("user").how.first().to_dict() == {
        fan: "known user", " u98": "popular items", "u99": "known user", "nobody": "popular items",
    }  # fmt: skip
