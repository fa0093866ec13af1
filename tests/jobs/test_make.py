"""The Makefile and the CI script: what they would run, and what they say when Python is too old."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TARGETS = [
    "help",
    "install",
    "install-peers",
    "demo",
    "train",
    "build-index",
    "verify-index",
    "tune-index",
    "evaluate",
    "recommend",
]
TARGETS += ["test", "test-all", "check", "bench", "bench-ann", "benchmark", "bench-full", "clean"]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *arguments], cwd=cwd, env=inherited, capture_output=True, text=True, check=False)


@pytest.fixture
def ready(tmp_path) -> str:
    """An environment that looks installed, so that `make -n` shows only the command of the target."""
    bin_dir = tmp_path / "env" / "bin"
    bin_dir.mkdir(parents=True)
    for name in ("pip", "python"):
        (bin_dir / name).touch()
    (tmp_path / "env" / ".ready").touch()
    return f"VENV={tmp_path / 'env'}"


def planned(*arguments: str) -> str:
    """The one command that make would run, without the environment's path."""
    result = make("-n", *arguments)
    assert result.returncode == 0, result.stderr
    return re.sub(r"\S*/env/bin/", "", result.stdout).strip()


def test_help_is_the_default_and_lists_every_target():
    assert make().stdout == make("help").stdout
    assert re.findall(r"(?m)^  make ([a-z-]+) ", make("help").stdout) == TARGETS


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["train"], "python -m twotower.train"),
        (
            ["train", "DATA=ml-1m", "RUN=first", "ARGS=a.b=3 c=4"],
            "python -m twotower.train data=ml-1m run=first a.b=3 c=4",
        ),
        (["build-index", "INDEX=exact", "RUN=first"], "python index/build.py index=exact run=first"),
        (["verify-index", "RUN=first", "ARGS=json=a.json"], "python index/verify.py run=first json=a.json"),
        (["tune-index", "INDEX=faiss,kmeans", "RUN=first"], "python index/tune.py 'backends=[faiss,kmeans]' run=first"),
        (["evaluate", "RUN=first"], "python -m twotower.evaluate run=first"),
        (["recommend"], "python -m twotower.recommend --user 42"),
        (["recommend", "USER_ID=7", "RUN=a", "ARGS=--k 5"], "python -m twotower.recommend --user 7 --run a --k 5"),
        (["test"], 'python -m pytest -m "not slow" --numprocesses 2 --dist loadfile'),
        (["test-all", "ARGS=-x", "JOBS=3"], "python -m pytest --numprocesses 3 --dist loadfile -x"),
        (["demo"], "python pipelines/demo.py"),
        (["benchmark"], "python pipelines/benchmark.py"),
        (
            ["benchmark", "DATA=ml-1m,marketplace", "ARGS=models=[als] trials=2"],
            "python pipelines/benchmark.py 'data=[ml-1m,marketplace]' models=[als] trials=2",
        ),
    ],
)
def test_variables_become_options_of_the_command(ready, arguments, command):
    assert planned(*arguments, ready) == command


def test_every_script_that_a_target_runs_is_there():
    scripts = re.findall(r"\$\(BIN\)/python (\S+\.py)", (ROOT / "Makefile").read_text())
    assert scripts
    assert [s for s in scripts if not (ROOT / s).is_file()] == []


def test_an_older_python_is_refused_with_the_remedy(tmp_path):
    old = tmp_path / "python-old"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    result = make("install", f"PYTHON={old}", f"VENV={tmp_path / 'env'}")
    assert result.returncode != 0
    assert f"needs Python 3.11 or newer; none found as: {old}" in result.stderr
    assert "make install PYTHON=" in result.stderr
    assert not (tmp_path / "env").exists()


def test_the_first_python_that_is_new_enough_makes_the_environment_and_pip_fills_it(tmp_path):
    """A stand-in interpreter writes down what it is asked; the real one would take minutes."""
    env, said = tmp_path / "env", tmp_path / "said"
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("#!/bin/sh\nexit 1\n")
    new.write_text(
        f'#!/bin/sh\necho "$@" >> {said}\n'
        f'if [ "$2" = venv ]; then mkdir -p {env}/bin; cp "$0" {env}/bin/python; touch {env}/bin/pip; fi\n'
    )
    for stand_in in (old, new):
        stand_in.chmod(0o755)
    options = (f"PYTHON={old} {new}", f"VENV={env}")
    assert make("install", *options).returncode == 0
    assert f"-m venv {env}" in said.read_text()
    assert "--constraint constraints.txt --editable .[dev]" in said.read_text()
    said.unlink()
    assert make("install", *options).returncode == 0
    assert not said.exists(), "a second install must do nothing"


def test_peers_are_installed_once_with_the_exact_versions(tmp_path):
    env, said = tmp_path / "env", tmp_path / "said"
    (env / "bin").mkdir(parents=True)
    for name in ("pip", "python"):
        (env / "bin" / name).write_text(f'#!/bin/sh\necho "$@" >> {said}\n')
        (env / "bin" / name).chmod(0o755)
    (env / ".ready").touch()
    assert make("install-peers", f"VENV={env}").returncode == 0
    assert "--constraint constraints.txt --editable .[dev,peers]" in said.read_text()
    said.unlink()
    assert make("install-peers", f"VENV={env}").returncode == 0
    assert not said.exists(), "a second install must do nothing"


def test_clean_keeps_the_environment_data_and_runs(ready):
    commands = planned("clean", ready)
    assert "rm -rf" in commands
    assert not re.search(r"(\.venv|runs|data-cache)\b", commands)


def test_ci_runs_the_tests_then_the_checks_and_ends_on_the_summary_of_pytest(tmp_path):
    """Run with a stand-in for make that answers as the real targets do."""
    (tmp_path / "make").write_text(
        '#!/bin/sh\n[ "$1" = test ] && echo "12 passed, 1 skipped in 3.21s" || echo "no issues"\n'
    )
    (tmp_path / "make").chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    result = subprocess.run([ROOT / ".ci/run"], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == ["12 passed, 1 skipped in 3.21s", "no issues", "12 passed, 1 skipped in 3.21s"]


@pytest.mark.parametrize("failing", ["test", "check"])
def test_ci_fails_when_tests_or_checks_fail(tmp_path, failing):
    (tmp_path / "make").write_text(f'#!/bin/sh\necho "1 passed in 0.1s"\n[ "$1" != {failing} ]\n')
    (tmp_path / "make").chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    result = subprocess.run([ROOT / ".ci/run"], env=environment, capture_output=True, text=True, check=False)
    assert result.returncode != 0
