"""Cells of the benchmark on disk: what is written is read, whole or not at all."""

import numpy as np
import pytest

from twotower.benchmarks import results as cells
from twotower.benchmarks.results import BenchmarkRun, Stage, read_facts, subject_of
from twotower.errors import BadInput
from twotower.evaluation.examine import examine


@pytest.fixture
def cell(split, by_score) -> BenchmarkRun:
    found = examine(by_score(noise=2.0).fit(split.refit()), split.test, ks=(5, 10))
    other = examine(by_score(noise=9.0).fit(split.refit()), split.test, ks=(5, 10))
    trials = ({"options": {"noise": 2.0}, "score": None, "seconds": 0.1, "error": "diverged"},)
    return BenchmarkRun(
        "toy", "by_score", 3, "d1", None, subject_of(split), {"noise": 2.0}, trials, 0.1, 0.2, 300, {"machine": {}},
        {"towers": Stage(found, 40), "both": Stage(other, 50)},
    )  # fmt: skip


def test_what_is_saved_is_loaded(cell, tmp_path):
    cell.save(tmp_path / "cell")
    again = BenchmarkRun.load(tmp_path / "cell")
    assert {n: getattr(again, n) for n in cells._PLAIN} == {n: getattr(cell, n) for n in cells._PLAIN}
    for name, stage in cell.stages.items():
        found, expected = again.stages[name].evaluation, stage.evaluation
        assert again.stages[name].parameters == stage.parameters
        np.testing.assert_array_equal(found.users, expected.users)
        assert set(found.per_user) == set(expected.per_user)
        for metric in expected.per_user:
            np.testing.assert_array_equal(found.values(metric), expected.values(metric))
        assert (found.catalogue, found.ks, found.seconds) == (expected.catalogue, expected.ks, expected.seconds)


def test_the_subject_names_data_split_and_who_was_asked(cell, split):
    assert cell.subject["fingerprint"] == split.dataset.fingerprint()
    assert cell.subject["asked"] == len(split.test.users())
    assert cell.subject["competitors"] == "full catalogue"


def test_a_cell_that_failed_holds_its_error_and_no_figures(tmp_path):
    BenchmarkRun("toy", "als", 0, "d1", "out of memory").save(tmp_path / "cell")
    assert not (tmp_path / "cell" / "per_user.npz").exists()
    assert BenchmarkRun.load(tmp_path / "cell").error == "out of memory"


def test_saving_again_replaces_the_whole_directory(cell, tmp_path):
    cell.save(tmp_path / "cell")
    BenchmarkRun("toy", "by_score", 3, "d2", "killed").save(tmp_path / "cell")
    assert [p.name for p in (tmp_path / "cell").iterdir()] == ["cell.json"]
    assert [p.name for p in tmp_path.iterdir()] == ["cell"]


def test_what_fails_half_way_leaves_the_former_cell(cell, tmp_path, monkeypatch):
    cell.save(tmp_path / "cell")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(Exception, match="free some"):
        cell.save(tmp_path / "cell")
    monkeypatch.undo()
    assert BenchmarkRun.load(tmp_path / "cell").digest == "d1"
    assert [p.name for p in tmp_path.iterdir()] == ["cell"]


def test_a_directory_that_is_not_there_has_no_facts(tmp_path):
    assert read_facts(tmp_path / "nothing") == {}


def test_a_damaged_cell_is_named_with_the_remedy(cell, tmp_path):
    cell.save(tmp_path / "cell")
    (tmp_path / "cell" / "per_user.npz").write_bytes(b"not an archive")
    with pytest.raises(BadInput, match=r"cannot be read .* move it away, and the run is done again"):
        BenchmarkRun.load(tmp_path / "cell")
