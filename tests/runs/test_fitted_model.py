"""`FittedModel`: what a fit on a data set gives answers in the caller's ids, as the run does that it publishes."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import twotower as tt
from twotower.commands import build_index, evaluate, recommend, refresh
from twotower.data.splitters.newest import newest_validates
from twotower.errors import BadConfig, BadInput, BundleError, UnknownId
from twotower.training.context import FitContext

N_USERS, N_ITEMS, DAY = 60, 30, 86_400
RNG = np.random.default_rng(5)


def shop(n: int = 900) -> dict[str, pd.DataFrame]:
    """Users like items of their own half of the catalogue; item Ai costs i."""
    user = RNG.integers(0, N_USERS, n)
    item = (RNG.integers(0, N_ITEMS // 2, n) * 2 + user % 2) % N_ITEMS
    return {
        "events": pd.DataFrame(
            {
                "customer": [f"U{u:02d}" for u in user],
                "article": [f"A{i:02d}" for i in item],
                "when": pd.to_datetime(1_700_000_000 + np.sort(RNG.integers(0, 100 * DAY, n)), unit="s"),
                "kind": RNG.choice(["view", "buy"], n),
            }
        ),
        "items": pd.DataFrame(
            {
                "article": [f"A{i:02d}" for i in range(N_ITEMS)],
                "title": [f"thing {i}" for i in range(N_ITEMS)],
                "price": np.arange(N_ITEMS, dtype=float),
                "half": ["even", "odd"] * (N_ITEMS // 2),
            }
        ),
        "users": pd.DataFrame(
            {"customer": [f"U{u:02d}" for u in range(N_USERS)], "group": ["even", "odd"] * (N_USERS // 2)}
        ),
    }


SHOP = shop()
NAMES = {"user": "customer", "item": "article", "time": "when", "kind": "kind"}
DATA = tt.Dataset.from_frames(**SHOP, **NAMES, name="shop")
MODELS = {
    "towers": lambda: tt.TwoTower(epochs=2, dim=16, history="mean", training=tt.TrainOptions(seed=1)),
    "als": lambda: tt.ALS(dim=8, l2=1.0),
    "ease": lambda: tt.EASE(l2=5.0),
    "popular": tt.Popular,
}


@pytest.fixture(scope="module")
def fitted():
    """Each model fitted once."""
    made: dict[str, tt.FittedModel] = {}

    def of(name: str) -> tt.FittedModel:
        if name not in made:
            made[name] = MODELS[name]().fit(DATA)
        return made[name]

    return of


every_model = pytest.mark.parametrize("name", MODELS)


@every_model
def test_lists_hold_unseen_items_by_rank_for_known_users_and_for_new_ones_with_a_history(fitted, name):
    table = fitted(name).recommend(["U01", "new"], k=4, history={"new": ["A01", "A03"]})
    assert table.columns.tolist() == ["user", "item", "rank", "score", "title", "how"]
    assert table["user"].tolist() == ["U01"] * 4 + ["new"] * 4
    assert table["rank"].tolist() == [1, 2, 3, 4] * 2
    assert table["how"].unique().tolist()[0] == "known user"
    seen = set(SHOP["events"].query("customer == 'U01'")["article"])
    assert not seen & set(table.query("user == 'U01'")["item"])
    assert not {"A01", "A03"} & set(table.query("user == 'new'")["item"])
    assert table["title"].tolist() == [f"thing {int(item[1:])}" for item in table["item"]]


@every_model
def test_rules_allow_lists_and_deny_lists_for_all_or_for_each(fitted, name):
    model, k = fitted(name), N_ITEMS
    cheap = model.recommend("U02", k, where="price<=9", exclude_seen=False)
    assert sorted(cheap["item"]) == [f"A{i:02d}" for i in range(10)]
    both = model.recommend("U02", k, where=["price<=9", "half=odd"], exclude=["A03", "gone"], exclude_seen=False)
    assert sorted(both["item"]) == ["A01", "A05", "A07", "A09"]
    few = model.recommend(["U02", "U03"], k, items=["A04", "A05"], exclude_seen=False)
    assert few.groupby("user")["item"].apply(sorted).tolist() == [["A04", "A05"]] * 2
    each = model.recommend(
        ["U02", "U03"], k, items={"U02": ["A04", "A06"]}, exclude={"U03": ["A00"]}, exclude_seen=False
    )
    assert sorted(each.query("user == 'U02'")["item"]) == ["A04", "A06"]
    assert sorted(each.query("user == 'U03'")["item"]) == [f"A{i:02d}" for i in range(1, N_ITEMS)]


@every_model
def test_a_score_is_that_of_the_list_whatever_the_order_of_the_pairs(fitted, name):
    model = fitted(name)
    table = model.recommend(["U04", "U05", "nobody"], k=3).sample(frac=1, random_state=0)
    pairs = table[["user", "item"]].reset_index(drop=True)
    expected = table["score"].to_numpy()
    for given in (pairs, list(pairs.itertuples(index=False, name=None)), pa.Table.from_pandas(pairs)):
        scored = model.score(given)
        assert scored[["user", "item"]].to_numpy().tolist() == pairs.to_numpy().tolist()
        np.testing.assert_allclose(scored["score"], expected, rtol=1e-5, atol=1e-5)


@every_model
def test_what_is_published_answers_as_before_and_every_command_opens_it(fitted, name, tmp_path, capsys):
    model = fitted(name)
    path = model.publish(tmp_path / "shop")
    opened = tt.load(path)
    pd.testing.assert_frame_equal(opened.recommend(k=5), model.recommend(k=5))
    pd.testing.assert_frame_equal(opened.similar("A01", 3), model.similar("A01", 3))
    assert recommend.main(["--user", "U01", "--run", "shop", "--runs-dir", str(tmp_path), "--k", "5", "--json"]) == 0
    items = [place["item"] for place in json.loads(capsys.readouterr().out)["items"]]
    assert items == model.recommend("U01", 5)["item"].tolist()
    if model.model.has_vectors:
        assert build_index.main(["run=shop", f"runs_dir={tmp_path}", "index=exact"]) == 0
        pd.testing.assert_frame_equal(tt.load("shop", tmp_path).recommend(k=5), model.recommend(k=5))
    else:
        with pytest.raises(BadConfig, match="has no vectors"):
            model.user_vectors("U01")


def test_what_only_makes_sense_with_a_source_is_refused_in_words(fitted, tmp_path, capsys):
    fitted("popular").publish(tmp_path / "shop")
    assert evaluate.main(["run=shop", f"runs_dir={tmp_path}"]) != 0
    assert "has learnt from all events" in capsys.readouterr().err
    assert refresh.main(["--run", "shop", "--runs-dir", str(tmp_path)]) != 0
    assert "published from Python and names no source" in capsys.readouterr().err


def test_a_published_run_is_never_written_over_and_nothing_else_is_touched(fitted, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(BadConfig, match="mine"):
        fitted("popular").publish(tmp_path / "mine")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"
    first = fitted("popular").publish(tmp_path / "shop")
    fitted("als").publish(tmp_path / "shop")
    assert type(tt.load(first).model) is tt.ALS
    assert type(tt.load(tmp_path / "shop.1").model) is tt.Popular


def test_a_run_is_what_the_model_itself_saves_and_more(fitted, tmp_path):
    path = fitted("towers").publish(tmp_path / "shop")
    saved = tmp_path / "saved"
    saved.mkdir()
    fitted("towers").model.save(saved)
    queries = fitted("towers").served.queries(["U01"], [()])
    lists = [tt.TwoTower.load(folder).recommend(queries, 5).items.tolist() for folder in (path, saved)]
    assert lists[0] == lists[1]


def test_vectors_multiply_to_the_scores_of_the_first_stage(fitted):
    model = fitted("als")
    users, items = model.user_vectors(["U01", "U07"]), model.item_vectors()
    assert users.index.tolist() == ["U01", "U07"]
    assert items.index.tolist() == SHOP["items"]["article"].tolist()
    table = model.recommend("U07", 3)
    products = items.loc[table["item"]].to_numpy() @ users.loc["U07"].to_numpy()
    np.testing.assert_allclose(products, table["score"], rtol=1e-5)
    assert model.item_vectors(["A03", "A01"]).index.tolist() == ["A03", "A01"]


def test_similar_items_of_a_model_without_vectors_are_those_that_the_same_users_touched():
    events = pd.DataFrame({"user": list("aabbcc"), "item": ["x", "y", "x", "y", "z", "z"]})
    model = tt.Popular().fit(tt.Dataset.from_frames(events))
    similar = model.similar("x", 2)
    assert similar["similar"].tolist() == ["y", "z"]
    np.testing.assert_allclose(similar["cosine"], [1, 0], atol=1e-6)
    assert "title" not in similar.columns


def test_a_boost_is_counted_in_standard_deviations_of_the_candidates(fitted):
    model = fitted("als")
    plain = model.recommend("U09", N_ITEMS)
    last = plain["item"].iloc[-1]
    boost = 1 + (plain["score"].iloc[0] - plain["score"].iloc[-1]) / plain["score"].std(ddof=0)
    assert model.recommend("U09", 1, boosts={last: boost})["item"].tolist() == [last]
    assert model.recommend("U09", 1, boosts={last: boost - 2})["item"].tolist() == [plain["item"].iloc[0]]
    assert (
        model.recommend("U09", N_ITEMS, boosts={plain["item"].iloc[0]: -99})["item"].iloc[-1] == plain["item"].iloc[0]
    )


@pytest.mark.parametrize("name", ["als", "ease"])
def test_diversity_takes_less_alike_items_and_keeps_the_best_first(fitted, name):
    model = fitted(name)
    vectors = model.served.alike()
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

    def likeness(table: pd.DataFrame) -> float:
        chosen = unit[model.served.files.item_ids.to_internal(table["item"])]
        return float((chosen @ chosen.T)[np.triu_indices(len(chosen), 1)].mean())

    plain, spread = model.recommend("U10", 6), model.recommend("U10", 6, diversity=0.7)
    assert spread["item"].iloc[0] == plain["item"].iloc[0]
    assert likeness(spread) < likeness(plain)
    assert len(set(spread["item"])) == 6


def test_new_items_and_new_users_are_served_by_their_features_without_training(tmp_path):
    model = MODELS["towers"]().fit(DATA)
    new = pd.DataFrame({"article": ["N1", "A00"], "price": [3.0, 99.0], "half": ["odd", "even"]})
    model.add_items(new)
    assert model.recommend("U01", items=["N1"])["item"].tolist() == ["N1"]
    assert model.recommend("U02", where="price>90", exclude_seen=False)["item"].tolist() == ["A00"]
    assert model.recommend("U02", items=["A00"], exclude_seen=False)["title"].tolist() == ["thing 0"]
    assert len(model.item_vectors()) == N_ITEMS + 1
    people = pd.DataFrame({"user": ["P1", "P2"], "group": ["odd", "even"]})
    table = model.recommend(["P1", "P2"], 5, features=people)
    assert table["how"].unique().tolist() == ["known user"]
    assert not np.allclose(model.user_vectors("P1"), model.user_vectors("P2"))
    again = tt.load(model.publish(tmp_path / "grown"))
    pd.testing.assert_frame_equal(again.recommend(["P1", "U01"], 5), model.recommend(["P1", "U01"], 5))
    again.add_items(pd.DataFrame({"item": ["N2"], "half": ["odd"]}))
    assert again.similar("N2", 1)["similar"].tolist() != ["N2"]


def test_a_model_that_knows_only_ids_takes_neither_new_items_nor_features_of_users(fitted):
    with pytest.raises(BadConfig, match="ALS takes no new items: fit again"):
        fitted("als").add_items(pd.DataFrame({"item": ["N1"]}))
    with pytest.raises(BadConfig, match="EASE reads no features of users: give their history"):
        fitted("ease").recommend("P1", features=pd.DataFrame({"user": ["P1"]}))


def test_all_events_are_learnt_and_the_newest_watched_only_where_that_decides_something(fitted):
    assert fitted("als").split == "all events"
    assert fitted("towers").split == "all events"  # two epochs: patience (3) cannot end them
    newest = DATA.interactions.item[DATA.interactions.time.argmax()]
    counts = fitted("popular").model.state()
    assert any(array.sum() == len(DATA.interactions) or array[newest] > 0 for array in counts.values())
    model = tt.MF(loss="bpr", epochs=3, dim=4).fit(DATA)
    assert model.split == "newest 0.1 validates, then all events"
    assert tt.MF(loss="bpr", epochs=2, dim=4).fit(DATA, validation=None).split == "all events"
    split = newest_validates(DATA, 0.1)
    assert split.train.time.max() < split.validation.at
    assert 0.85 < len(split.train) / len(DATA.interactions) <= 0.9
    assert len(split.refit().train) == len(DATA.interactions)


def test_towers_that_can_stop_early_learn_all_events_for_as_many_epochs_as_were_best():
    model = tt.TwoTower(epochs=3, patience=1, dim=8, history=None).fit(DATA)
    assert model.split.startswith("newest")
    assert model.model.training.epochs <= 3
    assert model.model.training.patience is None


def test_events_without_times_are_learnt_at_once():
    events = SHOP["events"].drop(columns="when")
    data = tt.Dataset.from_frames(events, user="customer", item="article")
    assert tt.MF(loss="bpr", epochs=1, dim=4).fit(data).split == "all events"


def test_a_context_reaches_the_fit(tmp_path):
    tt.TwoTower(epochs=1, dim=8, history=None).fit(DATA, FitContext(workspace=tmp_path))
    assert list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("ask", "error", "words"),
    [
        (lambda m: m.recommend("U01", 0), BadInput, "k must be at least 1"),
        (lambda m: m.recommend([["U01"]]), BadInput, "is no id"),
        (lambda m: m.recommend([float("nan")]), BadInput, "nan is no id"),
        (lambda m: m.recommend(pd.DataFrame({"user": ["U01"]})), BadInput, "give one column of ids"),
        (lambda m: m.recommend("U01", history={"U02": ["A01"]}), BadInput, "history: user 'U02' is not among"),
        (lambda m: m.recommend("U01", history={"U01": ["B"]}), UnknownId, "item 'B' is not in the data set"),
        (lambda m: m.recommend("U01", items=["B"]), UnknownId, "item 'B'"),
        (lambda m: m.recommend("U01", boosts={"B": 1}), UnknownId, "item 'B'"),
        (lambda m: m.recommend("U01", boosts={"A01": float("nan")}), BadConfig, "no finite number"),
        (lambda m: m.recommend("U01", diversity=2), BadConfig, "diversity=2 must lie between 0 and 1"),
        (lambda m: m.recommend("U01", where="prize<3"), BadConfig, "no column 'prize'; did you mean price"),
        (lambda m: m.similar("B"), UnknownId, "item 'B'"),
        (lambda m: m.score([("U01", "B")]), UnknownId, "item 'B'"),
        (lambda m: m.score(["U01"]), BadInput, "two columns"),
        (lambda m: m.model.recommend(["U01"], 3), BadInput, "answers in your own ids"),
        (lambda m: tt.load("/nowhere/shop"), BundleError, "no run"),
        (lambda m: tt.TwoTower(epoch=3), BadConfig, "TwoTower has no option 'epoch'; did you mean epochs"),
        (lambda m: tt.ALS().fit(DATA, validation=2), BadConfig, "validation=2"),
    ],
)
def test_mistakes_are_said_in_a_line(fitted, ask, error, words):
    with pytest.raises(error) as raised:
        ask(fitted("als"))
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_users_may_be_any_column_of_ids_and_one_asked_for_in_another_spelling_is_the_same():
    events = pd.DataFrame({"user": [1, 1, 2, 2, 3], "item": [10, 11, 10, 12, 11]})
    model = tt.EASE(l2=1.0).fit(tt.Dataset.from_frames(events))
    expected = model.recommend([1, 2], 2)["item"].tolist()
    for users in (np.array([1, 2]), pd.Series([1, 2]), pa.array([1, 2]), ("1", "2"), (u for u in (1.0, 2.0))):
        assert model.recommend(users, 2)["item"].tolist() == expected
    assert model.recommend()["user"].unique().tolist() == [1, 2, 3]
    assert model.recommend(4, history={"4": ["12"]})["how"].unique().tolist() == ["from the given history"]
    assert model.recommend("somebody")["how"].unique().tolist() == ["popular items"]


def test_many_users_are_one_call_and_a_line_and_a_table_tell_what_it_is(fitted):
    model = fitted("als")
    table = model.recommend(k=3)
    assert len(table) == 3 * N_USERS
    one_by_one = pd.concat([model.recommend(user, 3) for user in model.served.files.user_ids.external])
    pd.testing.assert_frame_equal(table, one_by_one.reset_index(drop=True))
    assert (
        repr(model) == "<FittedModel <ALS(dim=8, l2=1.0), fitted on 30 items> of shop: 60 users, 30 items; all events>"
    )
    assert "price" in model._repr_html_()
