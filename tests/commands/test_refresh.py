"""`twotower refresh`: newer events, users and items are served without training; the model stays what it was."""

import numpy as np
import pandas as pd
import pytest

from twotower.commands import build_index, evaluate, refresh, train
from twotower.runs.bundle import Bundle
from twotower.runs.served_run import ServedRun

N_ITEMS = 12
TOWERS = (
    "model=two_tower", "objective=joint", "objective.retrieval_candidates=8", "towers.dim=8", "towers.history_length=6",
    "towers.history_layers=1", "train.epochs=2", "train.batch_size=64", "device=cpu",
)  # fmt: skip
ALS = ("model=als", "model.dim=4")


def write(folder, events: pd.DataFrame, items: pd.DataFrame) -> None:
    events.to_csv(folder / "events.csv", index=False)
    items.to_csv(folder / "items.csv", index=False)


@pytest.fixture
def shop(tmp_path):
    """Writes 30 users who touch 5 of 12 items of three groups each; gives the events and the items."""
    rng = np.random.default_rng(5)
    rows = [
        (f"u{user:02d}", f"i{item:02d}", int(rng.integers(10**9, 10**9 + 10**7)))
        for user in range(30)
        for item in rng.permutation(N_ITEMS)[:5]
    ]
    events = pd.DataFrame(rows, columns=["user", "item", "time"])
    items = pd.DataFrame(
        {"item": [f"i{i:02d}" for i in range(N_ITEMS)], "group": [f"g{i % 3}" for i in range(N_ITEMS)]}
    )
    write(tmp_path, events, items)
    (tmp_path / "shop.yaml").write_text(
        "interactions: {path: events.csv, user: user, item: item, time: time}\n"
        "items: {path: items.csv, id: item, columns: {group: categorical}}\n"
    )
    return events, items


def trained(folder, *words: str) -> Bundle:
    fixed = ("data=own", f"data.source.path={folder}/shop.yaml", f"runs_dir={folder}/runs", f"prepared={folder}/none")
    assert train.main([*fixed, "progress=false", "threads=1", "run=shop", *words]) == 0
    return Bundle.open("shop", folder / "runs")


def newer(shop, folder):
    """u00 touches i11 or what else is left, u77 is new and touches i02, i12 is new."""
    events, items = shop
    left = sorted(set(items.item) - set(events.item[events.user == "u00"]))[0]
    more = pd.DataFrame({"user": ["u00", "u77"], "item": [left, "i02"], "time": [2 * 10**9, 2 * 10**9 + 1]})
    write(folder, pd.concat([events, more]), pd.concat([items, pd.DataFrame({"item": ["i12"], "group": ["g1"]})]))
    return left


@pytest.mark.parametrize(("words", "takes_items"), [(ALS, False), (TOWERS, True)])
def test_what_is_new_is_served_and_nothing_is_learnt(shop, tmp_path, capsys, words, takes_items):
    before = trained(tmp_path, *words)
    weights, vectors = before.model().state(), np.array(before.item_vectors())
    build_index.main(["index=exact", "run=shop", f"runs_dir={tmp_path}/runs"])
    left = newer(shop, tmp_path)
    assert refresh.main(["--runs-dir", f"{tmp_path}/runs", "--run", "shop"]) == 0
    out = capsys.readouterr().out
    assert f"+2 events, 1 new users, {int(takes_items)} new items" in out
    assert ("1 new items are left out" in out) is not takes_items
    after = Bundle.open("shop", tmp_path / "runs")
    for name, array in after.model().state().items():
        np.testing.assert_array_equal(array, weights[name])
    served = ServedRun.open(after.directory)
    assert served.has_index
    assert served.files.at == 2 * 10**9 + 1
    catalogue = {f"i{i:02d}" for i in range(N_ITEMS + takes_items)}
    assert {p.item for p in served.answer("u77", k=20).items} == catalogue - {"i02"}
    assert served.answer("u77").how == "known user"
    assert left not in {p.item for p in served.answer("u00", k=20).items}
    assert Bundle.open("shop.1", tmp_path / "runs").manifest["created"] == before.manifest["created"]
    if takes_items:  # an item is where its features put it: i12 has those of i01, but no identity
        assert after.serving().item_ids.external[N_ITEMS] == "i12"
        assert np.linalg.norm(after.item_vectors()[N_ITEMS]) == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose(after.item_vectors()[:N_ITEMS], vectors, atol=1e-6)


def test_unchanged_data_give_the_same_lists_and_the_index_is_built_again(shop, tmp_path, capsys):
    before = trained(tmp_path, *ALS)
    build_index.main(["index=exact", "run=shop", f"runs_dir={tmp_path}/runs"])
    lists = [ServedRun.open(before.directory).answer(f"u{u:02d}").items for u in range(30)]
    assert refresh.main(["--runs-dir", f"{tmp_path}/runs", "--run", "shop", "--as", "again"]) == 0
    assert "index: ExactIndex built again" in capsys.readouterr().out
    after = ServedRun.open(tmp_path / "runs" / "again")
    assert after.has_index
    assert [after.answer(f"u{u:02d}").items for u in range(30)] == lists


def test_a_refreshed_run_is_not_evaluated_and_other_columns_are_refused(shop, tmp_path, capsys):
    trained(tmp_path, *ALS)
    events, items = shop
    assert refresh.main(["--runs-dir", f"{tmp_path}/runs", "--as", "again"]) == 0
    assert evaluate.main([f"runs_dir={tmp_path}/runs", "run=again"]) == 1
    assert "was refreshed and knows events beyond the moment of the test" in capsys.readouterr().err
    write(tmp_path, events, items.assign(price=1.0))
    yaml = (tmp_path / "shop.yaml").read_text()
    (tmp_path / "shop.yaml").write_text(yaml.replace("group: categorical", "price: continuous"))
    assert refresh.main(["--runs-dir", f"{tmp_path}/runs", "--run", "shop"]) == 1
    assert "learnt from items with the columns group; the source now has price; train again" in capsys.readouterr().err
