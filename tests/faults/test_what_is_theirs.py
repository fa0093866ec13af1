"""Publishing and overwriting touch only what twotower made; a name is trained by one process at a time."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from twotower.errors import BadConfig, BundleError
from twotower.runs.bundle import Bundle
from twotower.runs.publishing import check_place, publish, publish_index, training, workspace
from twotower.storage.atomic import only_one, point, put_in_place
from twotower.storage.ours import MARK, begin, is_ours, remove, strangers
from twotower.storage.unfinished import output

FACTS = {"dataset": "d1"}


def write(directory: Path) -> None:
    (directory / "model.safetensors").write_bytes(b"weights")


def theirs(path: Path) -> Path:
    """A folder of the user's."""
    path.mkdir(parents=True)
    (path / "notes.txt").write_text("precious")
    (path / "manifest.json").write_text('{"name": "a web page", "icons": []}')
    return path


@pytest.mark.parametrize("place", ["shop", "shop.1", "shop.3", ".shop.training", ".shop.publishing", ".shop.former"])
def test_a_folder_of_theirs_stays_whatever_is_published(tmp_path, place):
    notes = theirs(tmp_path / place) / "notes.txt"
    for _ in range(5):
        with pytest.raises(BadConfig, match=f"{place} is a folder that twotower did not make.*run=<another name>"):
            publish(tmp_path, "shop", write, FACTS)
        with pytest.raises(BadConfig), training(tmp_path, "shop"):
            pass
        with pytest.raises(BadConfig):
            workspace(tmp_path, "shop")
    assert notes.read_text() == "precious"
    assert {path.name for path in tmp_path.iterdir()} == {place}


@pytest.mark.parametrize("made", ["file", "folder", "link out", "broken link out"])
@pytest.mark.parametrize("place", ["shop", "latest"])
def test_a_file_folder_or_link_of_theirs_is_not_replaced(tmp_path, place, made):
    path, elsewhere = tmp_path / "runs" / place, theirs(tmp_path / "elsewhere")
    path.parent.mkdir()
    if made == "file":
        path.write_text("precious")
    elif made == "folder":
        theirs(path)
    else:
        path.symlink_to("../gone" if made.startswith("broken") else elsewhere)
    before = path.lstat()
    with pytest.raises(BadConfig, match="did not make"):
        publish(tmp_path / "runs", "shop", write, FACTS)
    assert path.lstat() == before
    assert (elsewhere / "notes.txt").exists()


def test_the_oldest_run_keeps_what_they_laid_into_it(tmp_path):
    publish(tmp_path, "shop", write, FACTS, keep=2)
    (tmp_path / "shop" / "notes.txt").write_text("precious")
    for _ in range(6):
        publish(tmp_path, "shop", write, FACTS, keep=2)
    assert (tmp_path / "shop.3" / "notes.txt").read_text() == "precious"
    assert {path.name for path in tmp_path.iterdir() if path.name[0] != "."} == {
        "latest", "shop", "shop.1", "shop.2", "shop.3",
    }  # fmt: skip


def test_an_index_folder_with_a_file_of_theirs_is_not_exchanged(runs, vectors):
    bundle = runs.indexed("x", {"_target_": "twotower.ann.exact.ExactIndex"}, vectors)
    (bundle.directory / "index" / "notes.txt").write_text("precious")
    with pytest.raises(BadConfig, match=r"notes\.txt, which is no file of an index"):
        publish_index(bundle, None, {})
    assert (bundle.directory / "index" / "notes.txt").exists()


@pytest.mark.parametrize("made", ["folder", "file", "link", "own with notes"])
def test_overwrite_exchanges_only_what_a_job_made(tmp_path, made):
    out = tmp_path / "out"
    if made == "folder":
        theirs(out)
    elif made == "file":
        out.write_text("precious")
    elif made == "link":
        out.symlink_to(theirs(tmp_path / "elsewhere"))
    else:
        job(out)
        (out / "notes.txt").write_text("precious")
    before = sorted(str(path) for path in tmp_path.rglob("*") if path.name[0] != ".")
    with pytest.raises(BadConfig, match="stays as it is; give out=<another folder>"):
        job(out, overwrite=True)
    assert sorted(str(path) for path in tmp_path.rglob("*") if path.name[0] != ".") == before


def test_overwrite_exchanges_what_a_job_made(tmp_path):
    job(tmp_path / "out", "before")
    job(tmp_path / "out", "after", overwrite=True)
    assert (tmp_path / "out" / "part").read_text() == "after"


def test_an_unfinished_folder_of_theirs_stays(tmp_path):
    theirs(tmp_path / ".out.unfinished")
    with pytest.raises(BadConfig, match="did not make"):
        job(tmp_path / "out")
    assert (tmp_path / ".out.unfinished" / "notes.txt").exists()


def job(out: Path, text: str = "rows", *, overwrite: bool = False) -> None:
    with output(out, {"text": text}, overwrite=overwrite) as work:
        work.write("part", lambda path: path.write_text(text))
        work.succeed(["part"], {"text": text})


def test_only_marked_or_empty_folders_are_ours(tmp_path):
    assert not is_ours(theirs(tmp_path / "a"))
    begin(tmp_path / "b")
    assert is_ours(tmp_path / "b")
    (tmp_path / "c").symlink_to(tmp_path / "b")
    assert not is_ours(tmp_path / "c")
    (tmp_path / "d").mkdir()
    assert is_ours(tmp_path / "d")
    with pytest.raises(BadConfig):
        remove(tmp_path / "a")
    remove(tmp_path / "b")
    assert not (tmp_path / "b").exists()
    remove(tmp_path / "gone")
    assert strangers(tmp_path / "a") == ["notes.txt"]
    with pytest.raises(BadConfig):
        put_in_place(tmp_path / "d", tmp_path / "a")


def test_a_finished_run_has_no_mark(tmp_path):
    assert not (publish(tmp_path, "x", write, FACTS).directory / MARK).exists()


def test_latest_is_replaced_where_it_is_a_pointer_to_a_neighbour(tmp_path):
    point(tmp_path / "latest", "a")
    point(tmp_path / "latest", "b")
    assert (tmp_path / "latest").readlink() == Path("b")


HOLDER = """
import sys, time
from pathlib import Path
from twotower.runs.publishing import training
with training(sys.argv[1], "two"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that trains run `two`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, env=environment)
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_training_of_a_name_is_refused_and_told_whose_it_is(holder, tmp_path):
    whose = rf"another process \(process {holder.pid} on .+\) is training run 'two'"
    with pytest.raises(BundleError, match=whose), training(tmp_path, "two"):
        pass
    with training(tmp_path, "other"):
        pass


def test_the_lock_of_a_dead_process_is_taken_over(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with training(tmp_path, "two"):
        assert str(os.getpid()) in (tmp_path / ".two.training.lock").read_text()


def test_a_lock_does_not_write_into_a_file_of_theirs(tmp_path):
    (tmp_path / ".x.lock").write_text("precious")
    first, second = (only_one(tmp_path / ".x.lock", "testing") for _ in range(2))
    with first, pytest.raises(BundleError, match="another process is testing"), second:
        pass
    assert (tmp_path / ".x.lock").read_text() == "precious"


def test_what_is_said_of_a_folder_without_a_manifest_advises_no_removal(tmp_path):
    with pytest.raises(BundleError, match="nothing that twotower published") as said:
        Bundle.open(theirs(tmp_path / "a").parent)
    assert "remove" not in str(said.value)
    assert "delete" not in str(said.value)
    check_place(tmp_path, "fine")
