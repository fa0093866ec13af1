"""Publishing on a full disk, or under a limit of file sizes: one clear line, the old index stays, nothing is left.

No writer can be trusted here: numpy and faiss's own report nothing when the last buffered bytes are lost.
"""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from twotower.ann.exact import ExactIndex
from twotower.commands.console import run_command
from twotower.config.compose import instantiate
from twotower.errors import BundleError
from twotower.runs.bundle import Bundle
from twotower.runs.publishing import publish, publish_index

resource = pytest.importorskip("resource", reason="limits of file sizes are set the POSIX way")


@contextmanager
def largest_file(n_bytes):
    """Writing beyond n bytes fails with EFBIG, as it does with ENOSPC on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    assert signal.getsignal(signal.SIGXFSZ) == signal.SIG_IGN  # Python's default
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def limits_for(directory):
    """Sizes that cut the end, the last buffer, the half or nearly all off the largest file."""
    largest = max(path.stat().st_size for path in directory.iterdir())
    return sorted({1, 100, largest // 2, largest - 4096, largest - 300, largest - 1} & set(range(1, largest)))


@pytest.fixture
def served(runs, vectors):
    """A run whose exact index is being served."""
    return runs.indexed("x", {"_target_": "twotower.ann.exact.ExactIndex"}, vectors)


def leftovers(directory):
    return sorted(path.name for path in directory.iterdir() if path.name.startswith(".") and path.name != ".lock")


def test_index_that_does_not_fit_leaves_the_old_one_and_no_file(served, options, queries, tmp_path):
    index, before = instantiate(options).build(served.item_vectors()), served.index().search(queries, 5)
    (whole := tmp_path / "whole").mkdir()
    index.save(whole, shared=served.item_vectors())
    said = served.index_manifest()
    for limit in limits_for(whole):
        with largest_file(limit), pytest.raises(BundleError, match=r"MB are free there; free some.*is still served"):
            publish_index(served, index, {})
        assert leftovers(served.directory) == []
        assert Bundle.open(served.directory).index_manifest() == said
        np.testing.assert_array_equal(served.index().search(queries, 5).items, before.items)
    publish_index(served, index, {})  # a failed attempt spoils nothing for the next
    np.testing.assert_array_equal(served.index().search(queries, 5).items, index.search(queries, 5).items)


def test_vectors_of_its_own_that_do_not_fit_are_noticed(served, vectors, tmp_path):
    """An index of another metric writes `vectors.npy`, by numpy, which loses up to a buffer of it silently."""
    index = ExactIndex(metric="cosine").build(3 * vectors)
    index.save(tmp_path)
    size = (tmp_path / "vectors.npy").stat().st_size
    for lost in (1, 300, 4096, size // 2):
        with largest_file(size - lost), pytest.raises(BundleError, match="MB are free there"):
            publish_index(served, index, {})
        assert served.index().metric == "inner_product"


def test_saving_an_index_by_itself_notices_it_too(options, vectors, tmp_path):
    """`save` without a run: whatever is raised, no digest vouches for half a file."""
    index = instantiate(options).build(vectors)
    (whole := tmp_path / "whole").mkdir()
    index.save(whole)
    for number, limit in enumerate(limits_for(whole)):
        (part := tmp_path / f"{number}").mkdir()
        with largest_file(limit), pytest.raises((BundleError, OSError)):
            index.save(part)
        assert not (part / "index.json").exists() or (part / "index.json").stat().st_size <= limit
        with pytest.raises(BundleError):
            type(index).load(part)


def test_run_that_does_not_fit_leaves_the_old_one(served, runs, other_vectors, vectors):
    size = (served.directory / "item_vectors.npy").stat().st_size
    for lost in (1, 300, 4096, size // 2):
        with largest_file(size - lost), pytest.raises(BundleError, match="MB are free there"):
            runs.publish("x", other_vectors)
        np.testing.assert_array_equal(Bundle.open("x", runs.directory).item_vectors(), vectors)
        assert leftovers(runs.directory) == [".x.lock"]


def test_the_command_prints_one_line(served, capsys):
    index = instantiate({"_target_": "twotower.ann.kmeans.KMeansIndex"}).build(served.item_vectors())
    with largest_file(500):
        status = run_command(lambda: publish_index(served, index, {}) and None)
    (line,) = capsys.readouterr().err.splitlines()
    assert status == 1
    assert line.startswith("BundleError: ")
    assert "File too large" in line


def test_errors_that_are_not_about_room_stay_what_they_are(served, runs):
    def write(directory):
        raise PermissionError(13, "Permission denied", str(directory))

    with pytest.raises(PermissionError):
        publish(runs.directory, "x", write, {"dataset": "d1"})
    assert len(Bundle.open("x", runs.directory).index()) == 300
    assert leftovers(runs.directory) == [".x.lock"]


ON_A_SMALL_DISK = """
import shutil, sys
from pathlib import Path
import numpy as np
from twotower.ann.exact import ExactIndex
from twotower.runs.bundle import Bundle
from twotower.runs.publishing import publish_index
from twotower.config.compose import instantiate
from twotower.errors import BundleError
shutil.copytree(sys.argv[1], "disk/x")
bundle = Bundle.open("disk/x")
queries = np.array(bundle.item_vectors()[:9])
filler, refused, published = Path("disk/filler"), 0, 0
for backend in ("annoy_trees.AnnoyIndex", "faiss_factory.FaissIndex", "kmeans.KMeansIndex", "exact.ExactIndex"):
    index = instantiate({"_target_": f"twotower.ann.{backend}"}).build(bundle.item_vectors())
    free = shutil.disk_usage("disk").free
    for left in range(0, free, 8192):
        filler.write_bytes(bytes(shutil.disk_usage("disk").free - left))
        try:
            publish_index(bundle, index, {})
            published += 1
        except BundleError as error:
            assert "MB are free" in str(error), error
            refused += 1
        opened = Bundle.open("disk/x").index()
        assert opened.search(queries, 1).items[:, 0].tolist() == list(range(9))
        assert not Path("disk/x/.index.publishing").exists()
        filler.unlink()
        if type(opened) is type(index) and published:
            break
print(refused, published)
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_disk_that_is_really_full(served, tmp_path):
    """A tmpfs of 4 MB with ever more room left, mounted in a name space of its own that ends with the process."""
    if not shutil.which("unshare"):
        pytest.skip("no unshare, so no name space to mount in")
    (tmp_path / "disk").mkdir()
    mounted = 'mount -t tmpfs -o size=4m none disk && exec "$@"'
    python = [sys.executable, "-c", ON_A_SMALL_DISK, str(served.directory)]
    shell = ["unshare", "--mount", "sh", "-c", mounted, "sh", *python]
    run = subprocess.run(shell, capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path)
    if "unshare:" in run.stderr or "mount:" in run.stderr:
        pytest.skip(f"mounting is refused: {run.stderr.strip()}")
    assert run.returncode == 0, run.stderr
    refused, published = map(int, run.stdout.split())
    assert refused >= 10
    assert published == 4
    assert list(Path(tmp_path / "disk").iterdir()) == []
