"""Two hundred damaged index directories of every backend: each is refused before a native loader sees a byte."""

import json
import shutil
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from twotower.ann.base import IndexBase
from twotower.config.compose import locate
from twotower.errors import BadConfig, BundleError
from twotower.runs.bundle import Bundle

CASES = 200
ANNOY_NODE = 12 + 4 * 17  # bytes: three ints, then a float for each of 16 dimensions and the one that levels lengths


@pytest.fixture(scope="module")
def shelf(tmp_path_factory, runs_in, kinds, vectors, other_vectors):
    """Per backend a folder with the runs `first` and `other`, of one shape and other towers."""
    root = tmp_path_factory.mktemp("shelf")
    for kind, options in kinds.items():
        for name, rows in (("first", vectors), ("other", other_vectors)):
            runs_in(root / kind).indexed(name, options, rows)
    return root


@pytest.fixture
def native_loads(monkeypatch):
    """Names of the backends whose loader was called, in order; every backend opens its files in `_read`."""
    called = []
    for backend in _all_backends(IndexBase):
        own = backend._read
        monkeypatch.setattr(backend, "_read", lambda *a, own=own, **o: (called.append(1), own(*a, **o)))
    return called


def _all_backends(base):
    return [one for sub in base.__subclasses__() for one in (sub, *_all_backends(sub)) if "_read" in vars(one)]


# Kinds of damage: each changes what the directory says, or is not counted as damage


def flip_a_bit(rng, file, shelf, kind):
    data = bytearray(file.read_bytes())
    data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    file.write_bytes(data)


def cut(rng, file, shelf, kind):
    file.write_bytes(file.read_bytes()[: int(rng.integers(file.stat().st_size))])


def cut_where_it_does_not_show(rng, file, shelf, kind):
    """Annoy's files at a node's end: what is left is a smaller forest. Others: the last byte."""
    size = file.stat().st_size
    nodes = size // ANNOY_NODE
    left = ANNOY_NODE * int(rng.integers(1, nodes)) if file.suffix == ".annoy" else size - 1
    file.write_bytes(file.read_bytes()[:left])


def replace_by_another_backends(rng, file, shelf, kind):
    others = sorted(p for p in shelf.glob("*/first/index/*") if p.parents[2].name != kind)
    shutil.copyfile(others[rng.integers(len(others))], file)


def replace_by_the_same_file_of_another_index(rng, file, shelf, kind):
    shutil.copyfile(shelf / kind / "other" / "index" / file.name, file)


def replace_by_random_bytes(rng, file, shelf, kind):
    file.write_bytes(rng.bytes(file.stat().st_size))


def replace_by_nothing(rng, file, shelf, kind):
    file.write_bytes(b"")


def replace_by_a_directory(rng, file, shelf, kind):
    file.unlink()
    file.mkdir()


def replace_by_brackets(rng, file, shelf, kind):
    file.write_text("[" * 100_000)


def remove(rng, file, shelf, kind):
    file.unlink()


DAMAGES = [
    flip_a_bit, flip_a_bit, cut, cut_where_it_does_not_show, replace_by_another_backends,
    replace_by_the_same_file_of_another_index, replace_by_random_bytes, replace_by_nothing, replace_by_a_directory,
    replace_by_brackets, remove,
]  # fmt: skip


def content(file):
    """What a file says; JSON in another spelling says the same."""
    if not file.is_file():
        return None
    data = file.read_bytes()
    try:
        return json.loads(data) if file.suffix == ".json" else data
    except (ValueError, RecursionError):
        return data


def damaged_copy(shelf, seed, to):
    """A copy of a run with one damaged file of its index; which, and how, the seed says."""
    rng = np.random.default_rng(seed)
    kinds = sorted(path.name for path in shelf.iterdir())
    kind, damage = kinds[seed % len(kinds)], DAMAGES[rng.integers(len(DAMAGES))]
    while True:
        run = to / f"{seed}"
        shutil.copytree(shelf / kind / "first", run)
        files = sorted((run / "index").iterdir())
        file = files[rng.integers(len(files))]
        before = content(file)
        damage(rng, file, shelf, kind)
        if content(file) != before:
            return run, kind, file, damage.__name__
        shutil.rmtree(run)


def is_refused(opening):
    """Whether it ends in an error of the house that says something; any other error goes through."""
    try:
        opening()
    except (BundleError, BadConfig) as error:
        return bool(str(error))
    return False


def test_undamaged_indexes_open_through_both_doors(shelf, native_loads, queries):
    for folder in shelf.iterdir():
        bundle = Bundle.open(folder / "first")
        index = bundle.index()
        loaded = type(index).load(bundle.directory / "index", shared=bundle.item_vectors())
        np.testing.assert_array_equal(index.search(queries, 5).items, loaded.search(queries, 5).items)
    assert len(native_loads) == 2 * len(list(shelf.iterdir()))


def test_two_hundred_damaged_directories_are_refused_before_a_loader_sees_them(shelf, native_loads, tmp_path):
    seen = set()
    for seed in range(CASES):
        run, kind, file, damage = damaged_copy(shelf, seed, tmp_path)
        bundle = Bundle.open(run)
        assert is_refused(bundle.index), f"{kind}: {damage} of {file.name} went unnoticed by the run"
        if file.name != "manifest.json":  # which `load` does not read
            backend = locate(Bundle.open(shelf / kind / "first").index_manifest()["backend"])
            load = partial(backend.load, run / "index", shared=bundle.item_vectors())
            assert is_refused(load), f"{kind}: {damage} of {file.name} went unnoticed by load"
        seen.add((kind, damage))
        shutil.rmtree(run)
    assert native_loads == []
    assert {damage for _, damage in seen} == {damage.__name__ for damage in DAMAGES}
    assert {kind for kind, _ in seen} == {folder.name for folder in shelf.iterdir()}


OPEN_ALL = """
import sys
from pathlib import Path
from twotower.runs.bundle import Bundle
from twotower.errors import BadConfig, BundleError
refused = 0
for run in sorted(Path(sys.argv[1]).iterdir()):
    try:
        Bundle.open(run).index()
    except (BundleError, BadConfig):
        refused += 1
print("alive after", refused)
"""


def test_an_interpreter_outlives_damaged_native_files(shelf, tmp_path):
    """Native files alone, which crash Annoy and mislead faiss if their loaders see them."""
    natives = [path for path in sorted(shelf.glob("*/first/index/*")) if path.suffix in (".annoy", ".faiss")]
    rng = np.random.default_rng(0)
    for number, path in enumerate(natives * 4):
        run = shutil.copytree(path.parents[1], tmp_path / f"{number}")
        [flip_a_bit, cut_where_it_does_not_show][number % 2](rng, run / "index" / path.name, shelf, "")
    run = subprocess.run(
        [sys.executable, "-c", OPEN_ALL, str(tmp_path)], capture_output=True, text=True, check=False, timeout=120
    )
    assert (run.returncode, run.stdout.split()) == (0, ["alive", "after", str(4 * len(natives))]), run.stderr


def test_what_no_manifest_names_is_refused_and_not_read(shelf, options, queries, tmp_path, request):
    kind = request.node.callspec.id
    run = shutil.copytree(shelf / kind / "first", tmp_path / "run")
    bundle = Bundle.open(run)
    index, vectors = bundle.index(), bundle.item_vectors()
    before = index.search(queries, 5)
    (run / "index" / "notes").mkdir()
    (run / "index" / "notes" / "index.faiss").write_bytes(b"foreign")
    with pytest.raises(BundleError, match="no file that twotower published; move it away"):
        Bundle.open(run).index()
    after = type(index).load(run / "index", shared=vectors).search(queries, 5)
    np.testing.assert_array_equal(before.items, after.items)


@pytest.mark.parametrize("stands_there", ["a file", "an empty folder", "a whole run", "an index without its run"])
def test_an_index_folder_that_is_something_else_is_refused(shelf, tmp_path, native_loads, stands_there):
    run = shutil.copytree(shelf / "exact" / "first", tmp_path / "run")
    shutil.rmtree(run / "index")
    if stands_there == "a file":
        (run / "index").write_text("index")
    elif stands_there == "an empty folder":
        (run / "index").mkdir()
    elif stands_there == "a whole run":
        shutil.copytree(shelf / "exact" / "first", run / "index", ignore=shutil.ignore_patterns("index"))
    else:
        shutil.copytree(shelf / "exact" / "other" / "index", run / "index")
    with pytest.raises(BundleError, match=r"half written|something else than an index|built from vectors"):
        Bundle.open(run).index()
    assert native_loads == []
