"""The full-size benchmark: stages are measured once and kept, wrong words refused, growth is a slope."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FEW = ["train.epochs=1", "train.validation_users=50", "towers.dim=8"]


def run(*arguments, check=True):
    command = [sys.executable, "pipelines/bench/full_size.py", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=check)


@pytest.mark.slow
def test_stages_are_measured_once_and_kept(tmp_path):
    wanted = ["--size", "demo", "--only", "prepare,train,two_stage", "--processes", 2, "--folder", tmp_path, *FEW]
    first = run(*wanted).stdout.splitlines()
    rows = {
        line.split()[0]: line.split() for line in first if line.split()[:1] in (["prepare"], ["train"], ["two_stage"])
    }
    assert list(rows) == ["prepare", "train", "two_stage"]
    facts = json.loads((tmp_path / "demo" / "train.json").read_text())
    assert rows["train"][2:4] == [f"{facts['rows']:,}", "positives"]
    assert facts["seconds"] > 0
    assert facts["peak_mib"] > 50
    assert facts["process_seconds"] > facts["seconds"]
    assert "1 epochs by 2 processes" in facts["note"]
    assert first[-1].startswith("all but the peers: ")
    assert run(*wanted).stdout.splitlines() == first  # kept: the same figures to the last digit


def test_a_stage_whose_predecessor_has_not_run_fails_with_its_log(tmp_path):
    failed = run("--size", "demo", "--only", "gold", "--folder", tmp_path, check=False)
    assert failed.returncode == 1
    assert str(tmp_path / "demo" / "gold.log") in failed.stdout
    assert "BundleError" in (tmp_path / "demo" / "gold.log").read_text()


@pytest.mark.parametrize("wrong", [("--only", "trian"), ("--scale", "1/3,1")])
def test_stages_and_shares_that_do_not_exist_are_refused(wrong):
    refused = run(*wrong, check=False)
    assert refused.returncode == 2
    assert wrong[1].split(",")[0] in refused.stderr
