"""`make tune-index` on a small run and on two files of vectors: a tuned.yaml that builds, figures, one page."""

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from twotower.ann.measuring.recall import GroundTruth
from twotower.commands.build_index import main as build
from twotower.commands.console import main as console
from twotower.commands.tune_index import main, tune_index
from twotower.config.compose import compose, group_files, instantiate, plain
from twotower.errors import BadConfig
from twotower.runs.bundle import Bundle
from twotower.runs.indexing import build_index, options_in

QUICK = ["calls=3", "batch_seconds=0.001", "grids.annoy.trees.build.n_trees=[4]", "n_queries=50", "latency_at=10"]


@pytest.fixture
def here(small_run, monkeypatch):
    monkeypatch.chdir(small_run.runs_dir.parent)
    return small_run


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Words that name 900 vectors and 60 queries of 16 dimensions."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name, n in (("v", 900), ("q", 60)):
        np.save(f"{name}.npy", rng.normal(size=(n, 16)).astype(np.float32))
    return ["vectors=v.npy", "queries=q.npy", *QUICK]


def tuned(*words):
    return tune_index(plain(compose(words, "tune_index")))[0]


class Page(HTMLParser):
    """What a page refers to outside itself, and its first column of each table row."""

    def __init__(self, path):
        super().__init__()
        self.outside, self.open = [], []
        self.feed(path.read_text())
        self.close()

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "href") and not value.startswith("data:"):
                self.outside.append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_every_backend_of_the_configuration_is_measured(files):
    found = tuned(*files)
    assert set(found.backends) == {f.stem for f in group_files("index")} - {"auto"}
    assert found.failures == []
    assert {s.least for s in found.settings if s.backend == "exact"} == {1.0}


def test_the_chosen_setting_is_the_fastest_that_reaches_the_target_to_within_a_tenth(files):
    found = tuned(*files, "backends=[exact,kmeans]", "target_recall=0.9")
    enough = [s for s in found.settings if s.least >= 0.9]
    assert found.chosen in enough
    assert found.chosen.p50_ms <= 1.1 * min(s.p50_ms for s in enough)
    assert len(enough) < len(found.settings)


def test_tuned_yaml_builds_the_index_that_was_measured(files):
    found = tuned(*files, "backends=[kmeans]", "target_recall=0.9", "out=here")
    index = instantiate(options_in(Path("here/tuned.yaml"))).build(np.load("v.npy"))
    assert index.options() == found.chosen.options
    drawn = np.random.default_rng(0).permutation(60)  # n_queries=50: all 60, halved
    held_out = GroundTruth(np.load("v.npy"), np.load("q.npy")[drawn[30:]], [10, 100, 500], "inner_product")
    assert held_out.recall(index) == found.held_out


def test_the_printed_command_publishes_what_was_tuned(here, capsys):
    assert main(["backends=[kmeans]", "target_recall=0.8", *QUICK]) == 0
    words = capsys.readouterr().out.split("now: python index/build.py ")[1].split()
    assert Bundle.open().index_manifest() is None  # tuning published nothing
    assert build(words) == 0
    manifest = Bundle.open().index_manifest()
    chosen = json.loads(Path("runs/small/figures/index-tuning.json").read_text())["chosen"]
    assert manifest["backend"] == chosen["target"] == "twotower.ann.kmeans.KMeansIndex"
    assert manifest["options"] == chosen["options"]


def test_a_run_with_output_of_tuning_is_still_a_whole_run(here):
    assert main(["backends=[exact]", *QUICK]) == 0
    assert Bundle.open().name == "small"
    assert build_index(OmegaConf.load("runs/small/figures/tuned.yaml")).recall == {10: 1.0}


def test_output_is_figures_json_and_one_page_that_needs_nothing_else(files):
    assert main([*files, "backends=[exact,kmeans]", "target_recall=0.9", "--compare"]) == 0
    out = Path("index-tuning")
    assert {p.name for p in out.iterdir()} == {
        "index-recall-latency.png", "index-recall-memory.png", "index-compare.png",
        "index-tuning.json", "index-tuning.html", "tuned.yaml",
    }  # fmt: skip
    page = Page(out / "index-tuning.html")
    assert page.outside == []
    assert page.open == []
    text = (out / "index-tuning.html").read_text()
    assert text.count("data:image/png;base64,") == 3
    facts = json.loads((out / "index-tuning.json").read_text())
    assert all(s["label"] in text for s in facts["settings"])


def test_without_compare_the_backends_are_not_drawn_beside_each_other(files):
    assert main([*files, "backends=[exact]"]) == 0
    assert not Path("index-tuning/index-compare.png").exists()


def test_a_goal_that_nothing_meets_is_exit_status_1_with_a_page_but_without_tuned_yaml(files, capsys):
    assert main([*files, "backends=[kmeans]", "bytes_per_vector=1"]) == 1
    err = capsys.readouterr().err.splitlines()[-1]
    assert err.startswith("BadConfig: no measured setting reaches recall 0.99: the lightest is kmeans")
    assert not Path("index-tuning/tuned.yaml").exists()
    assert "No measured setting reaches it" in Path("index-tuning/index-tuning.html").read_text()


def test_a_backend_that_fails_is_a_row_with_its_error(files, capsys):
    assert main([*files, "backends=[exact,faiss]", "grids.faiss.graph.build.factory=NOPE32", "target_recall=0.9"]) == 0
    assert "not measured: faiss NOPE32: BadConfig: factory 'NOPE32'" in capsys.readouterr().out
    assert "faiss NOPE32" in Path("index-tuning/index-tuning.html").read_text()


def test_no_time_is_said_and_not_a_crash(files, capsys):
    assert main([*files, "backends=[exact]", "minutes=0"]) == 1
    assert "no setting could be measured: time was over before exact" in capsys.readouterr().err


def test_own_options_can_be_tried(files):
    found = tuned(*files, "backends=[kmeans]", "grids.kmeans.plain.build.cells=[5,10]", "target_recall=0.5")
    assert {s.options["cells"] for s in found.settings} == {5, 10}


def test_progress_goes_to_stderr_and_the_table_to_stdout(files, capsys):
    main([*files, "backends=[exact]"])
    printed = capsys.readouterr()
    assert "building exact" in printed.err
    assert "recall@10" in printed.out
    assert "building" not in printed.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["vectors=v.npy"], "belong together"),
        (["vectors=no.npy", "queries=q.npy"], "vectors=no.npy cannot be read"),
        (["vectors=v.npy", "queries=narrow.npy"], "queries must have shape [B >= 2, 16], got (4, 3)"),
        (["vectors=v.npy", "queries=q.npy", "backends=[fais]"], "backends: no 'fais'; choose from annoy"),
        (["vectors=v.npy", "queries=q.npy", "target_recall=2"], "target_recall="),
        (["vectors=v.npy", "queries=q.npy", "metric=dot"], "metric 'dot'"),
        (["vectors=v.npy", "queries=q.npy", "+grids.exact.plain.cells=3"], "a grid holds build and search"),
        (["--out", "x"], "'--out': this command takes KEY=VALUE"),
        (["run=nobody"], "no run in runs/"),
    ],
)
def test_wrong_arguments_are_one_line(files, capsys, words, says):
    np.save("narrow.npy", np.ones((4, 3), np.float32))
    assert main(words) == 1
    err = capsys.readouterr().err
    assert says in err
    assert "Traceback" not in err


@pytest.mark.parametrize(("text", "says"), [(None, "cannot be read"), ("a: [", "cannot be read"), ("a: 1", "_target_")])
def test_an_index_file_that_is_none_is_refused(tmp_path, text, says):
    file = tmp_path / "file.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(BadConfig, match=says):
        options_in(file)


def test_an_index_file_cannot_name_foreign_code(here, capsys):
    Path("bad.yaml").write_text("_target_: os.system\ncommand: touch pwned\n")
    assert build(["index_file=bad.yaml"]) == 1
    assert "os.system" in capsys.readouterr().err
    assert not Path("pwned").exists()


def test_job_file_and_sub_command_are_the_same_command(tmp_path, monkeypatch, capsys):
    job = Path(__file__).parents[2] / "index" / "tune.py"
    run = subprocess.run([sys.executable, str(job)], cwd=tmp_path, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (1, "BundleError: no run in runs/: type `python -m twotower.train` first\n")
    monkeypatch.chdir(tmp_path)
    assert console(["tune-index"]) == 1
    assert capsys.readouterr().err == run.stderr


def test_help_lists_the_backends(capsys):
    assert main(["--help"]) == 0
    assert "annoy, exact, faiss, kmeans" in capsys.readouterr().out
