"""The example of the README: it is the script in examples/, and the script prints what the README shows."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "examples" / "quickstart.py"


def body(source: str) -> str:
    """What follows the docstring."""
    return source[source.index("from twotower") :].strip()


def test_the_code_in_the_readme_is_the_script():
    shown = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert body(QUICKSTART.read_text()) in [block.strip() for block in shown]


@pytest.mark.slow
def test_the_quickstart_prints_a_figure_and_five_ads_best_first():
    lines = subprocess.run([sys.executable, QUICKSTART], capture_output=True, text=True, check=True).stdout.splitlines()
    figure = re.fullmatch(r"MAP@5 of (\d+) users: (0\.\d{4})", lines[0])
    assert int(figure[1]) > 900
    assert 0 < float(figure[2]) < 1
    ads = [re.fullmatch(r" *(-?\d+\.\d\d)  (\S.*)  (\S.*)  ([\d.]+|\?)  ([\d.]+|\?)", line) for line in lines[1:]]
    assert len(ads) == 5
    assert all(ads)
    scores = [float(ad[1]) for ad in ads]
    assert scores == sorted(scores, reverse=True)
