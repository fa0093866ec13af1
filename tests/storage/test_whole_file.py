"""A file is the old one or the new one, never a part; what a killed writer left can be told and removed."""

import json
import os
import signal
import subprocess
import sys

import pytest

from twotower.storage.whole_file import remove_parts, write_whole, write_whole_json, write_whole_text

KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from twotower.storage.whole_file import write_whole
write_whole(Path(sys.argv[1]), lambda beside: (beside.write_text("half"), os.kill(os.getpid(), signal.SIGKILL)))
"""


def test_the_file_holds_what_was_made_and_its_folder_is_made(tmp_path):
    path = tmp_path / "deep" / "er" / "a.txt"
    assert write_whole(path, lambda beside: beside.write_text("seven")) == 5  # letters, as `write_text` says
    assert path.read_text() == "seven"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_a_failing_writer_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_whole_text(path, "old")

    def fail(beside):
        beside.write_text("ne")
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        write_whole(path, fail)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_the_old_file_is_read_while_the_new_one_is_made(tmp_path):
    path = tmp_path / "a.txt"
    write_whole_text(path, "old")
    write_whole(path, lambda beside: beside.write_text(f"{path.read_text()} and new"))
    assert path.read_text() == "old and new"


def test_the_writer_gets_a_path_of_the_same_suffix(tmp_path):
    """NumPy and matplotlib look at it."""
    assert write_whole(tmp_path / "a.npz", lambda beside: (beside.write_bytes(b""), beside.suffix)[1]) == ".npz"
    assert write_whole(tmp_path / "README", lambda beside: (beside.write_bytes(b""), beside.name[:8])[1]) == ".README."


def test_two_writers_at_once_do_not_meet(tmp_path):
    path, other = tmp_path / "a.txt", []

    def second(beside):
        other.append(beside)
        beside.write_text("second")

    def first(beside):
        beside.write_text("first")
        write_whole(path, second)
        assert beside != other[0]
        assert beside.read_text() == "first"

    write_whole(path, first)
    assert path.read_text() == "first"


def test_the_bytes_are_on_the_disk_before_the_name(tmp_path, monkeypatch):
    path, synced = tmp_path / "a.txt", []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(path.exists()))
    write_whole_text(path, "new")
    assert synced == [False]


def test_json_ends_with_a_line_and_comes_back(tmp_path):
    write_whole_json(tmp_path / "a.json", {"café": [1, 2.5, None]})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert json.loads(text) == {"café": [1, 2.5, None]}


@pytest.mark.parametrize("name", ["a.safetensors", "README"])
def test_what_a_killed_writer_left_is_removed_and_nothing_else_is(tmp_path, name):
    others = [".hidden", ".a.json", "b.part", "a.txt"]
    for other in others:
        (tmp_path / other).write_text("")
    shot = subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, str(tmp_path / name)], check=False)
    assert shot.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == len(others) + 1
    remove_parts(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(others)
