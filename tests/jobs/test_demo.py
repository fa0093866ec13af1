"""The demo job: it prints each command before it runs it, stops where one fails, and sums up."""

import importlib.util
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def demo(monkeypatch, tmp_path):
    """The job as a module, in a folder of its own, with commands written down instead of run."""
    spec = importlib.util.spec_from_file_location("demo_job", ROOT / "pipelines" / "demo.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "demo_job", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    module.ran, module.failing = [], None

    def run(command, **_options):
        module.ran.append(command[1:])
        return subprocess.CompletedProcess(command, 3 if module.failing and module.failing in command else 0)

    monkeypatch.setattr(module.subprocess, "run", run)
    report = tmp_path / "runs" / "demo" / "report.md"
    report.parent.mkdir(parents=True)
    report.write_text("# Report\n\n| model | MAP@10 |\n|---|---|\n| towers | 0.5 |\n\n| other |\n")
    return module


def test_every_step_is_printed_as_typed_and_run_in_order(demo, capsys):
    assert demo.main([]) == 0
    printed = [line.removeprefix("$ ") for line in capsys.readouterr().out.splitlines() if line.startswith("$ ")]
    assert printed == [shlex.join([sys.executable, *command]) for command in demo.ran]
    assert [command[:2] for command in demo.ran] == [
        ["pipelines/prepare.py", "data=marketplace"],
        ["-m", "twotower.train"],
        ["index/build.py", "run=demo"],
        ["-m", "twotower.evaluate"],
        ["-m", "twotower.recommend"],
    ]
    assert demo.ran[-1][2:] == ["--user", "42", "--run", "demo", "--explain"]


def test_the_summary_shows_times_the_first_table_of_the_report_and_what_to_type_next(demo, capsys):
    demo.main([])
    printed = capsys.readouterr().out
    assert "| towers | 0.5 |" in printed
    assert "| other |" not in printed
    assert printed.count(" s\n") == 6  # five steps and their sum
    assert "runs/demo" in printed


def test_the_demo_stops_at_the_first_step_that_fails_and_passes_its_status_on(demo, capsys):
    demo.failing = "twotower.train"
    assert demo.main([]) == 3
    assert len(demo.ran) == 2
    assert "stopped at step 2" in capsys.readouterr().err


def test_run_user_and_training_options_reach_their_commands(demo, capsys):
    (demo.ROOT / "runs" / "mine").mkdir()
    (demo.ROOT / "runs" / "mine" / "report.md").write_text("")
    assert demo.main(["--run", "mine", "--user", "7", "train.epochs=1"]) == 0
    assert demo.ran[1] == ["-m", "twotower.train", "data=marketplace", "run=mine", "train.epochs=1"]
    assert demo.ran[4][2:] == ["--user", "7", "--run", "mine", "--explain"]


def test_the_interpreter_of_the_checkout_is_shown_relative_to_it(demo, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(demo.ROOT / ".venv" / "bin" / "python"))
    assert demo.steps("demo", "42")[2].typed() == ".venv/bin/python index/build.py run=demo"
