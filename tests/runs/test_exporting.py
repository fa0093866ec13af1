"""ONNX graphs of a run say in onnxruntime what the networks say in torch, for any number of rows and steps."""

import json

import numpy as np
import pandas as pd
import pytest

import twotower as tt
from twotower.commands import export
from twotower.runs.bundle import Bundle
from twotower.types import Queries, Ragged

N_USERS, N_ITEMS = 30, 20


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    n = 300
    events = pd.DataFrame(
        {
            "user": rng.integers(0, N_USERS, n),
            "item": rng.integers(0, N_ITEMS, n),
            "time": np.sort(rng.integers(0, 10**7, n)),
        }
    )
    items = pd.DataFrame(
        {"item": range(N_ITEMS), "price": rng.random(N_ITEMS), "tags": [["a", "b"][: i % 3] for i in range(N_ITEMS)],
         "v": list(rng.random((N_ITEMS, 3)))}
    )  # fmt: skip
    users = pd.DataFrame({"user": range(N_USERS), "group": ["x", "y"] * (N_USERS // 2)})
    return tt.Dataset.from_frames(events, items=items, users=users, time="time")


@pytest.mark.slow
@pytest.mark.parametrize("history", ["transformer", "attention", None])
def test_graphs_say_what_the_networks_say(data, tmp_path, history, capsys):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = tt.TwoTower(epochs=1, dim=8, history=history, history_length=6).fit(data)
    model.publish(tmp_path / "runs" / "shop")
    out = tmp_path / "graphs"
    assert export.main(["--onnx", "shop", "--runs-dir", str(tmp_path / "runs"), "--out", str(out)]) == 0
    assert "item.onnx, user.onnx, rank.onnx" in capsys.readouterr().out
    said = json.loads((out / "inputs.json").read_text())

    def run(graph: str, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        wanted = {name: inputs[name] for name in said[graph]["inputs"]}
        return runtime.InferenceSession(str(out / f"{graph}.onnx")).run(None, wanted)

    encoder = model.model.encoder
    with np.load(out / "items.npz") as items:
        assert items["ids"].tolist() == [str(i) for i in range(N_ITEMS)]
        vectors, wide = run("item", dict(items))
        one = run("item", {name: items[name][4:5] for name in items.files})[0]
    np.testing.assert_allclose(vectors, encoder.item_vectors, atol=2e-6)
    np.testing.assert_allclose(one[0], vectors[4], atol=2e-6)

    for rows in ([3], [0, 7, 11, 29]):
        users = np.array(rows)
        histories = Ragged.from_lists([[1, 2, 3], [], [4] * 2, [5, 6, 7, 8, 9, 10, 11]][: len(rows)])
        queries = Queries.of(users, histories)
        shown = histories.first_occurrences().last(5)
        steps = int(shown.lengths.max())
        given = {"history": vectors[np.maximum(shown.padded(steps), 0)], "length": shown.lengths}
        with np.load(out / "users.npz") as known:
            asked, user_wide = run("user", {**{name: known[name][users] for name in known.files}, **given})
        np.testing.assert_allclose(asked, encoder.user_vectors(queries), atol=5e-6)
        candidates = np.array([[2, 5, 9]] * len(users))
        (logits,) = run(
            "rank",
            {"user": asked, "user_wide": user_wide, "items": vectors[candidates], "items_wide": wide[candidates]},
        )
        expected = model.model.pair_scores(queries, tt.TopK(candidates, np.zeros(candidates.shape, np.float32)))
        np.testing.assert_allclose(logits, expected, atol=2e-5)


def test_what_cannot_be_exported_is_said_and_nothing_is_written_over(data, tmp_path, capsys):
    tt.Popular().fit(data).publish(tmp_path / "runs" / "popular")
    words = ["--runs-dir", str(tmp_path / "runs"), "--out"]
    assert export.main(["--onnx", "popular", *words, str(tmp_path / "new")]) == 1
    assert "is of Popular; export is for the networks of two_tower" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    assert export.main(["--onnx", "popular", *words, str(tmp_path / "mine")]) == 1
    assert "is there already and stays as it is" in capsys.readouterr().err
    assert Bundle.open("popular", tmp_path / "runs").name == "popular"
    assert not (tmp_path / "new").exists()
