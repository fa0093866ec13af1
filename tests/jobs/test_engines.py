"""Every engine, end to end in processes of its own: the same files as one process makes, also after a kill."""

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from twotower.commands import batch_recommend, build_shards, embed_items
from twotower.runs.bundle import Bundle
from twotower.storage.unfinished import read_success

RAY = pytest.param(
    "ray",
    marks=pytest.mark.skipif(
        importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install 'twotower[distributed]'"
    ),
)
pytestmark = pytest.mark.slow


@pytest.fixture
def here(small_run, monkeypatch):
    monkeypatch.chdir(small_run.runs_dir.parent)
    return small_run


@pytest.fixture(params=["local", RAY])
def engine(request) -> list[str]:
    """Words that choose two workers of an engine, with the threads of the one process that they are compared with."""
    return [f"engine={request.param}", "workers=2", "threads=1"]


def files(out: str) -> dict[str, dict]:
    return read_success(Path(out))["files"]


def test_all_jobs_write_what_one_process_writes(here, engine):
    """Item vectors, index and lists: every file has the same digest."""
    assert embed_items.main(["out=vectors", "threads=1", "part_rows=16", "npy=true"]) == 0
    assert embed_items.main(["out=vectors-2", *engine, "part_rows=16", "npy=true"]) == 0
    assert files("vectors") == files("vectors-2")
    index, contents = Path("runs/small/index/index.faiss"), []
    for words in (["threads=1"], engine):
        assert build_shards.main(["index.cells=4", "shard_rows=25", "min_recall=0.1", *words]) == 0
        contents.append(index.read_bytes())
    assert contents[0] == contents[1]
    assert Bundle.open().index() is not None
    assert batch_recommend.main(["out=lists", "threads=1", "part_rows=6"]) == 0
    assert batch_recommend.main(["out=lists-2", *engine, "part_rows=6"]) == 0
    assert files("lists") == files("lists-2")


def test_a_killed_job_leaves_nothing_that_looks_whole_and_goes_on_when_it_is_typed_again(here, engine):
    Path("many.csv").write_text("user\n" + "".join(f"u{i % 25}\n" for i in range(200)))
    words = ["users=many.csv", "part_rows=2", "batch_rows=2"]
    assert batch_recommend.main(["out=one", *words, "threads=1"]) == 0
    command = [sys.executable, "-m", "twotower", "batch-recommend", "out=two", *words, *engine]
    work, until = Path(".two.unfinished"), time.monotonic() + 120
    with subprocess.Popen(command, env=os.environ, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as job:
        while not list(work.glob("part-*")):
            assert job.poll() is None
            assert time.monotonic() < until
            time.sleep(0.005)
        job.kill()
    assert not Path("two").exists()
    first = min(work.glob("part-*"))
    kept = first.stat().st_ino
    assert batch_recommend.main(["out=two", *words, *engine]) == 0
    assert (Path("two") / first.name).stat().st_ino == kept
    assert files("one") == files("two")


def test_what_a_worker_refuses_is_one_line(here, engine, capsys):
    pq.write_table(pa.table({"user": ["u1", "u2", None]}), "users.parquet")
    assert batch_recommend.main(["out=lists", "users=users.parquet", "batch_rows=2", *engine]) == 1
    told = capsys.readouterr().err
    assert "BadInput: row 3 of the input has no user id; give every row one" in told.splitlines()
    assert "Traceback" not in told
    assert not Path("lists").exists()


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_ray_is_ended_with_the_job_and_tells_nobody(here):
    import ray

    assert batch_recommend.main(["out=lists", "engine=ray"]) == 0
    assert not ray.is_initialized()
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_a_cluster_that_does_not_answer_is_one_line(here, capsys):
    assert batch_recommend.main(["out=lists", "engine=ray", "ray_address=127.0.0.1:9"]) == 1
    assert "no Ray cluster answers at 127.0.0.1:9" in capsys.readouterr().err


DYING = """
import os
from dataclasses import dataclass
from twotower.errors import BundleError
from twotower.jobs.local import LocalEngine

@dataclass(frozen=True)
class Dying:
    def open(self):
        return lambda number: os._exit(3) if number == 2 else None

if __name__ == "__main__":
    try:
        list(LocalEngine(workers=2).each(Dying(), range(4)))
    except BundleError as error:
        print(error)
"""


def test_a_worker_process_that_dies_is_one_error(tmp_path):
    script = tmp_path / "dying.py"
    script.write_text(DYING)
    said = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True).stdout
    assert said.startswith("a worker process died")
    assert "type the command again" in said
