"""The wheel: what is in it, and that it trains and recommends in an empty environment far from the checkout."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
QUICK = (
    "train.epochs=1",
    "train.validation_users=20",
    "towers.dim=8",
    "towers.history=mean",
    "features.profiles=false",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built with the build tools at hand: no network, no isolated environment."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The bin folder of a new environment that holds the wheel and nothing else."""
    home = tmp_path_factory.mktemp("env")
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return home / "bin"


def run(installed: Path, cwd: Path, program: str, *arguments: str) -> str:
    """Output of a program of the new environment.

    The dependencies are borrowed from the running interpreter by PYTHONPATH, which reads no `.pth` files: an editable
    install of the checkout stays out of sight.
    """
    environment = os.environ | {"PYTHONPATH": sysconfig.get_path("purelib"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [installed / program, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_the_package_its_configuration_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"twotower"}
    packed = {name.removeprefix("twotower/conf/") for name in names if name.startswith("twotower/conf/")}
    assert packed == {p.relative_to(ROOT / "conf").as_posix() for p in (ROOT / "conf").rglob("*.yaml")}
    assert "twotower/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_installed_package_is_the_wheels_not_the_checkouts(installed, tmp_path):
    found = run(installed, tmp_path, "python", "-c", "import twotower; print(twotower.__file__)")
    assert Path(found.strip()).is_relative_to(installed.parent)


def test_the_console_script_trains_and_recommends_far_from_the_checkout(installed, tmp_path):
    run(installed, tmp_path, "twotower", "train", "data=marketplace", "run=wheel", *QUICK)
    answer = json.loads(run(installed, tmp_path, "twotower", "recommend", "--user", "42", "--run", "wheel", "--json"))
    assert (tmp_path / "runs" / "wheel" / "manifest.json").is_file()
    assert answer["how"] == "known user"
    assert len(answer["items"]) == 10
