"""map_batches: every row once and in order, whatever the cuts; a killed job leaves nothing that looks whole."""

import json
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower.errors import BadConfig, BadInput, BundleError, MissingData
from twotower.jobs.local import LocalEngine
from twotower.jobs.named_engine import engine_named
from twotower.jobs.parts import map_batches, parquet_files, plan_parts, read_batches
from twotower.storage.unfinished import read_success


@dataclass(frozen=True)
class Double:
    """x to 2x; keeps the batches that it was given, and stops at a row."""

    stop_at: int | None = None
    factor: int = 2
    seen: list[list[int]] = field(default_factory=list)

    def facts(self):
        return {"job": "multiply", "factor": self.factor}

    def open(self):
        def step(rows, first):
            x = rows["x"].to_pylist()
            assert x == list(range(first, first + len(x)))
            if self.stop_at in x:
                raise BadInput(f"row {self.stop_at}")
            self.seen.append(x)
            return pa.table({"y": [self.factor * value for value in x]})

        return step


@pytest.fixture
def numbers(tmp_path):
    """0..99 in two files: 60 in row groups of 25, 40 in one."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name, rows, group in (("a.parquet", range(60), 25), ("b.parquet", range(60, 100), 40)):
        pq.write_table(pa.table({"x": list(rows), "z": ["-"] * len(rows)}), folder / name, row_group_size=group)
    return folder


def run(source, work, out, **options):
    return map_batches(
        LocalEngine(), source, work, out, **{"columns": ["x"], "batch_rows": 8, "part_rows": 30, **options}
    )


def rows_of(out: Path) -> list[int]:
    return [y for file in sorted(out.glob("part-*.parquet")) for y in pq.read_table(file)["y"].to_pylist()]


@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=3).filter(any),
    group=st.integers(1, 45),
    part_rows=st.integers(1, 50),
    batch_rows=st.integers(1, 50),
)
def test_every_row_comes_once_and_in_order_however_files_groups_parts_and_batches_are_cut(
    tmp_path_factory, counts, group, part_rows, batch_rows
):
    folder, begin, files = tmp_path_factory.mktemp("cuts"), 0, []
    for number, count in enumerate(counts):
        files.append(folder / f"{number}.parquet")
        pq.write_table(pa.table({"x": np.arange(begin, begin + count)}), files[-1], row_group_size=group)
        begin += count
    parts = plan_parts(files, part_rows)
    assert [part.number for part in parts] == list(range(len(parts)))
    seen = []
    for part in parts:
        batches = list(read_batches(part, batch_rows, ["x"]))
        assert all(len(rows) == batch_rows for rows, _ in batches[:-1])
        assert sum(len(rows) for rows, _ in batches) == part.stop - part.start <= part_rows
        assert [first for _, first in batches] == [rows["x"][0].as_py() for rows, _ in batches]
        seen += [x for rows, _ in batches for x in rows["x"].to_pylist()]
    assert seen == list(range(sum(counts)))


def test_output_has_the_order_of_the_input_and_says_what_it_holds(numbers, tmp_path):
    told: list[int] = []
    success = run(numbers, Double(), tmp_path / "out", progress=told.append)
    assert rows_of(tmp_path / "out") == [2 * x for x in range(100)]
    assert {name: file["rows"] for name, file in success["files"].items()} == {
        "part-00000.parquet": 30, "part-00001.parquet": 30, "part-00002.parquet": 30, "part-00003.parquet": 10,
    }  # fmt: skip
    assert success["rows"] == sum(told) == 100
    assert success["job"]["factor"] == 2
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["_SUCCESS.json", *success["files"]]
    assert read_success(tmp_path / "out") == success


def test_an_output_is_an_input_of_the_next_job(numbers, tmp_path):
    success = run(numbers, Double(factor=1), tmp_path / "same")
    assert [file.name for file in parquet_files(tmp_path / "same")] == list(success["files"])


def test_a_failed_job_leaves_no_output_and_goes_on_after_its_finished_parts(numbers, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(BadInput, match="row 65"):
        run(numbers, Double(stop_at=65), out)
    assert not out.exists()
    again = Double()
    success = run(numbers, again, out)
    assert min(min(batch) for batch in again.seen) == 60  # parts 0 and 1 hold 0..59
    assert rows_of(out) == [2 * x for x in range(100)]
    assert success["files"] == run(numbers, Double(), tmp_path / "whole")["files"]
    assert [path.name for path in tmp_path.glob(".out.*")] == [".out.lock"]


def test_a_finished_part_that_was_damaged_meanwhile_is_made_again(numbers, tmp_path):
    with pytest.raises(BadInput):
        run(numbers, Double(stop_at=65), tmp_path / "out")
    part = tmp_path / ".out.unfinished" / "part-00000.parquet"
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    again = Double()
    run(numbers, again, tmp_path / "out")
    assert {x for batch in again.seen for x in batch} == {*range(30), *range(60, 100)}
    assert rows_of(tmp_path / "out") == [2 * x for x in range(100)]


@pytest.mark.parametrize("change", ["work", "part_rows", "source"])
def test_what_another_job_left_is_not_taken_up(numbers, tmp_path, change):
    with pytest.raises(BadInput):
        run(numbers, Double(stop_at=65), tmp_path / "out")
    if change == "source":
        pq.write_table(pa.table({"x": list(range(60, 90))}), numbers / "b.parquet")
    again = Double(factor=3 if change == "work" else 2)
    run(numbers, again, tmp_path / "out", part_rows=20 if change == "part_rows" else 30)
    assert min(min(batch) for batch in again.seen) == 0
    assert rows_of(tmp_path / "out") == [again.factor * x for x in range(90 if change == "source" else 100)]


KILLED = """
import os, signal, sys
from pathlib import Path
import pyarrow as pa
from twotower.jobs.local import LocalEngine
from twotower.jobs.parts import map_batches

class Double:
    def facts(self): return {"job": "multiply", "factor": 2}
    def open(self):
        def step(rows, first):
            if first >= int(sys.argv[3]):
                os.kill(os.getpid(), signal.SIGKILL)
            return pa.table({"y": [2 * x for x in rows["x"].to_pylist()]})
        return step

map_batches(LocalEngine(), Path(sys.argv[1]), Double(), Path(sys.argv[2]), columns=["x"], batch_rows=8, part_rows=30)
"""


def test_after_a_kill_the_same_job_keeps_what_was_finished(numbers, tmp_path):
    out, work = tmp_path / "out", tmp_path / ".out.unfinished"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(numbers), str(out), "68"], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    assert sorted(p.name for p in work.glob("part-*")) == ["part-00000.parquet", "part-00001.parquet"]
    with pytest.raises(BundleError, match="no finished output"):
        read_success(work)
    kept = (work / "part-00001.parquet").stat().st_ino
    again = Double()
    run(numbers, again, out)
    assert min(min(batch) for batch in again.seen) == 60
    assert rows_of(out) == [2 * x for x in range(100)]
    assert (out / "part-00001.parquet").stat().st_ino == kept


def test_a_kill_between_the_last_part_and_the_move_costs_nothing(numbers, tmp_path):
    out = tmp_path / "out"
    run(numbers, Double(), out)
    out.rename(tmp_path / ".out.unfinished")
    (tmp_path / ".out.unfinished" / ".part-00000.parquet.json").write_text("{}")  # left as the tidying was killed
    again = Double()
    run(numbers, again, out)
    assert again.seen == []
    assert sorted(p.suffix for p in out.iterdir()) == [".json", *[".parquet"] * 4]
    read_success(out)


def test_an_output_that_exists_stays_unless_it_shall_be_exchanged(numbers, tmp_path):
    out = tmp_path / "out"
    run(numbers, Double(), out)
    with pytest.raises(BadConfig, match=r"out exists; give out=<another folder>, or overwrite=true"):
        run(numbers, Double(factor=3), out)
    with pytest.raises(BadInput):
        run(numbers, Double(stop_at=65, factor=3), out, overwrite=True)
    assert rows_of(out)[:3] == [0, 2, 4]
    run(numbers, Double(factor=3), out, overwrite=True)
    assert rows_of(out) == [3 * x for x in range(100)]


def test_a_damaged_output_is_no_input(numbers, tmp_path):
    out = tmp_path / "out"
    run(numbers, Double(), out)
    said = json.loads((out / "_SUCCESS.json").read_text())
    (out / "_SUCCESS.json").write_text(json.dumps({**said, "rows": 99}))
    with pytest.raises(BundleError, match="is damaged"):
        parquet_files(out)
    (out / "_SUCCESS.json").write_text(json.dumps(said))
    (out / "part-00002.parquet").unlink()
    with pytest.raises(BundleError, match=r"part-00002\.parquet is missing"):
        parquet_files(out)


def test_what_cannot_be_read_is_said_before_anything_is_made(numbers, tmp_path):
    (tmp_path / "no.parquet").write_text("x\n1\n")
    pq.write_table(pa.table({"x": pa.array([], pa.int64())}), tmp_path / "empty.parquet")
    for source, error, says in (
        (tmp_path / "absent", MissingData, "absent: no Parquet file there"),
        (tmp_path / "no.parquet", BadInput, "no.parquet: not a Parquet file"),
        (tmp_path / "empty.parquet", BadInput, "empty.parquet: no rows"),
    ):
        with pytest.raises(error, match=says):
            run(source, Double(), tmp_path / "out")
    with pytest.raises(BadInput, match="no column 'q'; there are x, z"):
        run(numbers, Double(), tmp_path / "out", columns=["q"])
    with pytest.raises(BadConfig, match="batch_rows must be at least 1, got 0"):
        run(numbers, Double(), tmp_path / "out", batch_rows=0)
    assert not list(tmp_path.glob(".out*"))


def test_engines_are_named_and_refuse_what_they_cannot_do(monkeypatch):
    assert isinstance(engine_named("local"), LocalEngine)
    with pytest.raises(BadConfig, match="engine 'spark': choose one of local, ray"):
        engine_named("spark")
    with pytest.raises(BadConfig, match="workers must be at least 1, got 0"):
        engine_named("local", workers=0)
    with pytest.raises(BadConfig, match="ray_address=auto needs engine=ray"):
        engine_named("local", ray_address="auto")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BadConfig, match=r"pip install 'twotower\[distributed\]'"):
        engine_named("ray")


def test_workers_share_the_cores_that_omp_num_threads_leaves(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert engine_named("local", workers=1).threads == 1
    assert engine_named("local", workers=4).threads == 1
    assert engine_named("local", workers=4, threads=3).threads == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr("twotower.jobs.engines.usable_cores", lambda: 9)
    assert engine_named("local", workers=4).threads == 2
