"""`python -m twotower embed-items`: the run's own vectors again, and vectors for items that it has never seen."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from twotower.commands.embed_items import main
from twotower.runs.bundle import Bundle
from twotower.storage.unfinished import read_success


@pytest.fixture
def here(small_run, monkeypatch):
    monkeypatch.chdir(small_run.runs_dir.parent)
    return small_run


def vectors_of(out: str) -> tuple[list[int], np.ndarray]:
    """Items and vectors [N, D] of all parts, in their order."""
    read_success(Path(out))
    table = pa.concat_tables([pq.read_table(f) for f in sorted(Path(out).glob("part-*.parquet"))])
    return table["item"].to_pylist(), np.stack(table["vector"].to_numpy())


def test_the_own_catalogue_gets_the_vectors_that_training_left(here, capsys):
    assert main(["out=vectors", "part_rows=25", "batch_rows=10", "npy=true"]) == 0
    assert "embedded: 60 rows in 4 files" in capsys.readouterr().out
    items, vectors = vectors_of("vectors")
    assert items == list(range(100, 160))
    np.testing.assert_allclose(vectors, Bundle.open().item_vectors(), atol=1e-6)
    np.testing.assert_array_equal(np.load("vectors/vectors.npy"), vectors)
    assert pq.read_schema("vectors/part-00000.parquet").field("vector").type == pa.list_(pa.float32(), here.dim)


def test_known_items_keep_their_identity_and_new_ones_are_embedded_by_their_features(here):
    pq.write_table(
        pa.table(
            {
                "car": [130, 9001, 9002, 105],
                "price": [1000 + 200 * 30, 1000 + 200 * 30, 50_000, 2000],  # car i costs 1000 + 200 i
                "fuel": [here.fuel(130)] * 3 + [here.fuel(105)],
                "colour": ["red"] * 4,
            }
        ),
        "new.parquet",
    )
    assert main(["out=vectors", "items=new.parquet", "id=car"]) == 0
    items, vectors = vectors_of("vectors")
    known = Bundle.open().item_vectors()
    assert items == [130, 9001, 9002, 105]
    np.testing.assert_allclose(vectors[[0, 3]], known[[30, 5]], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert np.abs(vectors[1] - known[30]).max() > 1e-3  # the same features, without the identity
    assert np.abs(vectors[1] - vectors[2]).max() > 1e-3  # another price


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["out=vectors", "items=new.parquet"], "no column 'fuel'; there are item, price"),
        (["out=vectors", "items=new.parquet", "id=car"], "new.parquet: no column"),
        (["out=vectors", "items=none.parquet"], "none.parquet: no Parquet file there"),
        (["out=vectors", "run=other"], "no run 'other'"),
        (["out=runs"], "runs exists"),
    ],
)
def test_what_is_wrong_is_one_line_and_leaves_nothing(here, capsys, words, says):
    pq.write_table(pa.table({"item": [1], "price": [2.0]}), "new.parquet")
    assert main(words) == 1
    assert says in capsys.readouterr().err.splitlines()[-1]
    assert not Path("vectors").exists()


def test_help_tells_what_goes_in_and_out(capsys):
    assert main(["--help"]) == 0
    assert "items=PATH" in capsys.readouterr().out
