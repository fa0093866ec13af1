"""Run directories: whole or not at all, checked before use, never lost; a killed publisher changes nothing."""

import json
import multiprocessing
import random
import time

import numpy as np
import pytest

from twotower.ann.exact import ExactIndex
from twotower.errors import BadConfig, BundleError, IndexMismatch
from twotower.runs.bundle import Bundle, runs_in
from twotower.runs.publishing import publish, publish_index, workspace
from twotower.storage import atomic

FACTS = {"dataset": "f1"}


def writer(number, n_files=3):
    """A run whose every file holds its number, so that a mixture of two runs shows."""

    def write(directory):
        (directory / "encoders").mkdir()
        (directory / "towers.safetensors").write_text(str(number))
        (directory / "config.yaml").write_text(f"number: {number}\n")
        np.save(directory / "item_vectors.npy", np.full((5, 2), number, np.float32))
        for i in range(n_files):
            (directory / "encoders" / f"{i}.json").write_text(str(number))

    return write


def number_of(bundle):
    """The number that all files of a run agree on."""
    said = {(bundle.directory / "towers.safetensors").read_text()}
    said |= {file.read_text() for file in (bundle.directory / "encoders").iterdir()}
    said.add(str(int(bundle.item_vectors()[0, 0])))
    assert len(said) == 1, f"a mixture of runs {said}"
    return int(said.pop())


def edit_manifest(directory, **changes):
    path = directory / "manifest.json"
    manifest = json.loads(path.read_text()) | changes
    del manifest["sha256"]
    path.write_text(json.dumps({**manifest, "sha256": atomic.sha256_of_json(manifest)}))


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "runs"


@pytest.fixture
def published(runs):
    return publish(runs, "first", writer(1), FACTS)


# Publishing and opening


def test_published_run_opens_by_name_by_path_and_as_the_latest(runs, published):
    for opened in (Bundle.open("first", runs), Bundle.open(runs / "first"), Bundle.open(str(runs / "first"))):
        assert (opened.name, number_of(opened)) == ("first", 1)
    assert Bundle.open(runs_dir=runs).name == "first"
    assert (runs / "latest").is_symlink()


def test_manifest_names_every_file_with_size_and_digest(published):
    files = published.manifest["files"]
    encoders = [f"encoders/{i}.json" for i in range(3)]
    assert sorted(files) == ["config.yaml", *encoders, "item_vectors.npy", "towers.safetensors"]
    sha256_of_1 = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
    assert files["towers.safetensors"] == {"size": 1, "sha256": sha256_of_1}
    assert published.manifest["dataset"] == "f1"


def test_the_digest_changes_with_what_was_learnt_or_vectors_only(runs):
    first = publish(runs, "a", writer(1), FACTS).model_digest
    assert publish(runs, "b", writer(1, n_files=4), FACTS).model_digest == first
    assert publish(runs, "c", writer(2), FACTS).model_digest != first


def test_latest_follows_the_last_publication_but_not_an_open_bundle(runs, published):
    opened = Bundle.open(runs_dir=runs)
    publish(runs, "second", writer(2), FACTS)
    assert number_of(Bundle.open(runs_dir=runs)) == 2
    assert number_of(opened) == 1


def test_former_runs_of_a_name_are_kept_and_open(runs):
    for number in range(1, 7):
        publish(runs, "x", writer(number), FACTS, keep=3)
    assert {name: number_of(Bundle.open(name, runs)) for name in ("x", "x.1", "x.2", "x.3")} == {
        "x": 6, "x.1": 5, "x.2": 4, "x.3": 3,
    }  # fmt: skip
    assert not (runs / "x.4").exists()


def test_no_former_run_is_kept_if_none_is_wanted(runs):
    for number in (1, 2, 3):
        publish(runs, "x", writer(number), FACTS, keep=0)
    assert runs_in(runs) == ["x"]
    assert number_of(Bundle.open("x", runs)) == 3


def test_config_is_read_back(published):
    assert published.config() == {"number": 1}


def test_logs_and_checkpoints_move_from_the_workspace_into_the_run(runs):
    (workspace(runs, "x") / "logs").mkdir()
    (workspace(runs, "x") / "logs" / "events").write_text("loss")
    bundle = publish(runs, "x", writer(1), FACTS)
    assert (bundle.directory / "logs" / "events").read_text() == "loss"
    assert not (runs / ".x.training").exists()


def test_reports_and_logs_may_come_and_go(published):
    for name in ("report.md", "report.json"):
        (published.directory / name).write_text("new")
    (published.directory / "figures").mkdir()
    assert number_of(Bundle.open(published.directory)) == 1


@pytest.mark.parametrize("name", ["notes.txt", "encoders/more.json"])
def test_a_file_that_was_not_published_is_refused(published, name):
    (published.directory / name).write_text("{}")
    with pytest.raises(BundleError, match=rf"{name} is no file that twotower published; move it away"):
        Bundle.open(published.directory)


@pytest.mark.parametrize("name", ["config.yaml", "report.md", "figures"])
def test_a_link_in_a_run_is_refused(published, tmp_path, name):
    (published.directory / "config.yaml").rename(tmp_path / "config.yaml")
    (published.directory / name).symlink_to(tmp_path / "config.yaml")
    with pytest.raises(BundleError, match=f"{name} is a link"):
        Bundle.open(published.directory)


@pytest.mark.parametrize("name", ["latest", "", "../x", "a/b", ".hidden", "a b"])
def test_name_that_cannot_be_a_run_is_refused(runs, name):
    with pytest.raises(BadConfig, match="run name"):
        publish(runs, name, writer(1), FACTS)


def test_run_without_a_data_set_is_refused(runs):
    with pytest.raises(BadConfig, match="fingerprint"):
        publish(runs, "x", writer(1), {})


def test_writer_that_fails_leaves_the_old_run(runs, published):
    def write(directory):
        writer(2)(directory)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        publish(runs, "first", write, FACTS)
    assert number_of(Bundle.open("first", runs)) == 1
    assert number_of(publish(runs, "first", writer(3), FACTS)) == 3


def test_two_publishers_of_one_name_are_told_apart(runs, published):
    def write(directory):
        with pytest.raises(BundleError, match=r"another process \(process \d+ on .+\) is publishing run 'first'"):
            publish(runs, "first", writer(9), FACTS)
        writer(2)(directory)

    assert number_of(publish(runs, "first", write, FACTS)) == 2


# Refusals


def test_no_run_yet_says_what_to_type(runs):
    with pytest.raises(BundleError, match=r"no run in .*runs/: type `python -m twotower.train` first"):
        Bundle.open(runs_dir=runs)


def test_unknown_run_names_the_nearest(runs, published):
    publish(runs, "second", writer(2), FACTS)
    with pytest.raises(BundleError, match=r"no run 'frist' in .*; did you mean first"):
        Bundle.open("frist", runs)


def test_half_written_run_is_said(runs):
    (runs / "x").mkdir(parents=True)
    (runs / "x" / "towers.safetensors").write_text("1")
    with pytest.raises(BundleError, match="half written"):
        Bundle.open("x", runs)


def test_run_whose_training_was_killed_is_said(runs, published):
    workspace(runs, "x")
    with pytest.raises(BundleError, match="'x' was never finished; start its training again to resume"):
        Bundle.open("x", runs)


def test_latest_that_leads_nowhere_names_what_there_is(runs, published):
    atomic.point(runs / "latest", "gone")
    with pytest.raises(BundleError, match="does not lead to a run; name one of first with --run"):
        Bundle.open(runs_dir=runs)


@pytest.mark.parametrize("file", ["towers.safetensors", "item_vectors.npy", "encoders/1.json", "config.yaml"])
def test_flipped_bit_is_found_and_both_digests_are_named(published, file):
    path = published.directory / file
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    digests = atomic.sha256_of(path)[:8], published.manifest["files"][file]["sha256"][:8]
    with pytest.raises(BundleError, match=f"SHA-256 {digests[0]}…, published with {digests[1]}….*train again"):
        Bundle.open(published.directory)


def test_truncated_file_is_found_and_both_sizes_are_named(published):
    path = published.directory / "item_vectors.npy"
    path.write_bytes(path.read_bytes()[:-4])  # 128 bytes of header and 5 · 2 · 4 bytes of vectors
    with pytest.raises(BundleError, match="bytes 164, published with 168"):
        Bundle.open(published.directory)


def test_missing_file_is_found(published):
    (published.directory / "encoders" / "0.json").unlink()
    with pytest.raises(BundleError, match=r"0\.json is missing"):
        Bundle.open(published.directory)


def test_foreign_format_is_refused_with_both_numbers(published):
    edit_manifest(published.directory, format=99)
    with pytest.raises(BundleError, match="format 99, this version of twotower reads 3"):
        Bundle.open(published.directory)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '"x"'])
def test_damaged_manifest_is_said(published, text):
    (published.directory / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match=r"manifest\.json is damaged"):
        Bundle.open(published.directory)


# The index


def index_of(bundle):
    return ExactIndex().build(np.asarray(bundle.item_vectors()))


def test_run_without_index_says_none(published):
    assert published.index() is None
    assert published.index_manifest() is None


def test_published_index_is_found_and_its_manifest_says_what_it_is(published):
    publish_index(published, index_of(published), {"recall": {"10": 1.0}, "options": {"metric": "inner_product"}})
    said = Bundle.open(published.directory).index_manifest()
    assert (said["backend"], said["metric"], said["dim"], said["count"]) == (
        "twotower.ann.exact.ExactIndex", "inner_product", 2, 5,
    )  # fmt: skip
    assert said["recall"] == {"10": 1.0}
    assert said["model"] == published.model_digest
    assert len(published.index()) == 5


def test_index_of_other_towers_is_refused_with_both_digests(runs, published):
    publish_index(published, index_of(published), {})
    other = publish(runs, "other", writer(2), FACTS)
    (published.directory / "index").rename(other.directory / "index")
    with pytest.raises(
        IndexMismatch, match=f"{published.model_digest[:8]}… but this run has {other.model_digest[:8]}…; run `make"
    ):
        other.index()


def test_index_that_is_not_what_its_manifest_says_is_refused(published):
    publish_index(published, index_of(published), {})
    edit_manifest(published.directory / "index", count=7)
    with pytest.raises(IndexMismatch, match="has count 5 but its manifest says 7"):
        published.index()


def test_damaged_index_is_refused_before_it_is_loaded(published, monkeypatch):
    publish_index(published, index_of(published), {})
    path = published.directory / "index" / "changes.npz"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    monkeypatch.setattr(ExactIndex, "load", lambda *args, **options: pytest.fail("a damaged file was opened"))
    with pytest.raises(BundleError, match=r"is damaged.*make build-index"):
        published.index()


def test_index_of_a_foreign_class_is_refused(published):
    publish_index(published, index_of(published), {})
    edit_manifest(published.directory / "index", backend="os.system")
    with pytest.raises(BadConfig, match=r"os\.system"):
        published.index()


def test_new_index_replaces_the_old_one_and_leaves_nothing_behind(published):
    for dim in (1, 2):
        publish_index(published, ExactIndex().build(np.ones((5, dim), np.float32)), {})
    assert published.index().dim == 2
    assert not [p.name for p in published.directory.iterdir() if p.name.startswith(".index")]


# Systems that cannot exchange two directories in one step


@pytest.fixture
def two_renames(monkeypatch):
    monkeypatch.setattr(atomic, "_exchange", lambda a, b: False)


def test_two_renames_do_where_exchange_is_missing(runs, two_renames):
    for number in (1, 2, 3):
        publish(runs, "x", writer(number), FACTS)
    assert [number_of(Bundle.open(name, runs)) for name in ("x", "x.1", "x.2")] == [3, 2, 1]


def test_a_kill_between_two_renames_loses_nothing(runs, published):
    (runs / "first").rename(runs / ".first.former")  # the state in which such a kill leaves the folder
    assert number_of(Bundle.open("first", runs)) == 1
    assert number_of(publish(runs, "first", writer(2), FACTS)) == 2
    assert number_of(Bundle.open("first.1", runs)) == 1


def test_a_kill_after_both_renames_loses_nothing(runs, published):
    publish(runs, "first", writer(2), FACTS)
    (runs / "first.1").rename(runs / ".first.former")
    publish(runs, "first", writer(3), FACTS)
    assert [number_of(Bundle.open(name, runs)) for name in ("first", "first.1", "first.2")] == [3, 2, 1]


def test_a_bundle_knows_that_it_was_replaced(runs, published):
    assert not published.replaced()
    publish(runs, "first", writer(2), FACTS)
    assert published.replaced()


def test_a_kill_before_the_rotation_loses_nothing(runs, published):
    publish(runs, "first", writer(2), FACTS)
    (runs / "first.1").rename(runs / ".first.publishing")
    publish(runs, "first", writer(3), FACTS)
    assert [number_of(Bundle.open(name, runs)) for name in ("first", "first.1", "first.2")] == [3, 2, 1]


# Kills


def publish_for_ever(runs, last):
    """Publishes run and index again and again; `last` is the number of the newest complete publication."""
    while True:
        number = last.value + 1
        bundle = publish(runs, "x", writer(number), FACTS, keep=1)
        last.value = number
        publish_index(bundle, index_of(bundle), {})


@pytest.mark.parametrize("renames", ["exchange", "two renames"])
def test_a_publisher_killed_at_any_moment_leaves_a_whole_run(runs, monkeypatch, renames):
    monkeypatch.setattr(atomic, "_sync", lambda path: None)  # a kill, unlike a power cut, loses nothing written
    if renames == "two renames":
        monkeypatch.setattr(atomic, "_exchange", lambda a, b: False)
    rng, fork = random.Random(0), multiprocessing.get_context("fork")
    last = fork.Value("q", 0, lock=False)
    publish(runs, "x", writer(0), FACTS)
    for kills in range(30):
        child = fork.Process(target=publish_for_ever, args=(runs, last))
        before, started = last.value, time.perf_counter()
        child.start()
        while last.value == before:
            assert child.is_alive()
            time.sleep(0.0002)
        time.sleep(rng.uniform(0, 2) * (time.perf_counter() - started))
        child.kill()
        child.join()
        bundle = Bundle.open("x", runs)
        found = number_of(bundle)
        assert found in (last.value, last.value + 1)  # killed before or after the exchange of the next one
        index = bundle.index()  # raises if it is half written or of other towers
        assert index is None or float(index._vectors[0, 0]) == found
        last.value = found
        assert found > kills  # each child published at least once
