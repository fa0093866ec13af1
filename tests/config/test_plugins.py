"""Modules of the user's own: classes of plugins=[…] may be named, those of other modules not; no file can allow one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import twotower as tt
from twotower.allowed import MODEL, PLUGIN_MODULES, SPLITTER, named_class
from twotower.config.compose import compose, plain
from twotower.config.models import chosen
from twotower.errors import BadConfig, BundleError

MODULE = '''
from dataclasses import dataclass
import numpy as np
from twotower import ScoringModel

@dataclass(kw_only=True, eq=False, repr=False)
class Newest(ScoringModel):
    """Scores items by when they were touched last."""
    personal = False
    share: float = 1.0
    def __post_init__(self):
        self.times = np.empty(0, np.float32)
    def fit(self, split, context=None):
        self.n_items = split.train.n_items
        self.times = np.zeros(self.n_items, np.float32)
        np.maximum.at(self.times, split.train.item, (split.train.time - split.train.time.min()).astype(np.float32))
        return self
    def score(self, queries):
        self._check(queries)
        return np.tile(self.times, (len(queries), 1))
    def state(self):
        return {"times": self.times}
    def set_state(self, state):
        self.times = state["times"]

class HalfAndHalf:
    name = "half"
    def split(self, dataset):
        from twotower import TimeQuantile
        return TimeQuantile(validation=0.25, test=0.25).split(dataset)

def a_function():
    raise SystemExit("a function was called")
'''
MODEL_FILE = "# @package _global_\nmodel_name: newest\nfamily: cf\nmodel: {_target_: my_models.Newest}\nsearch: {}\n"


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A module of the user's own on the path."""
    name = f"my_models_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv(PLUGIN_MODULES, raising=False)
    return name


def test_a_word_of_the_command_line_allows_the_classes_of_a_module_and_nothing_else_does(mine):
    target = f"{mine}.Newest"
    with pytest.raises(BadConfig, match=r"is refused.*plugins=\[…\]"):
        named_class(target, MODEL)
    config = plain(compose([f"plugins=[{mine}]", "model=als"], "train"))
    assert "plugins" not in config
    assert named_class(target, MODEL).__name__ == "Newest"
    assert named_class(f"{mine}.HalfAndHalf", SPLITTER).name == "half"
    for refused in (f"{mine}.a_function", f"{mine}.np", "os.system", "subprocess.Popen"):
        with pytest.raises(BadConfig, match="is refused"):
            named_class(refused)


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("plugins=[no_such_module_of_mine]", "'no_such_module_of_mine' cannot be imported: ModuleNotFoundError"),
        ("plugins=[os;rm]", "is no module; write plugins="),
        ("plugins=[../x.py]", "is no module"),
    ],
)
def test_what_is_no_module_is_said_in_a_line(word, says, monkeypatch):
    monkeypatch.delenv(PLUGIN_MODULES, raising=False)
    with pytest.raises(BadConfig) as raised:
        compose([word], "train")
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_own_model_is_fitted_published_and_opened_by_whoever_allows_its_module(mine, tmp_path, monkeypatch):
    module = __import__(mine)
    data = tt.Dataset.from_frames({"user": ["a", "a", "b"], "item": ["x", "y", "x"], "time": [1, 2, 3]}, time="time")
    path = module.Newest().fit(data).publish(tmp_path / "runs" / "newest")
    with pytest.raises(BundleError, match="no model of twotower"):
        tt.load(path)
    tt.allow(mine)
    assert tt.load(path).recommend("c", 2)["item"].tolist() == ["x", "y"]
    command = [sys.executable, "-m", "twotower.recommend", "--run", str(path), "--user", "c", "--json"]
    monkeypatch.delenv(PLUGIN_MODULES)
    env = {"PATH": "/usr/bin", "PYTHONPATH": f"{Path(tt.__file__).parents[1]}:{tmp_path}"}
    refused = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert refused.returncode == 1
    assert len(refused.stderr.strip().splitlines()) == 1
    told = subprocess.run([*command, "--plugins", mine], capture_output=True, text=True, env=env, check=True)
    assert [place["item"] for place in json.loads(told.stdout)["items"]] == ["x", "y"]


def test_a_configuration_cannot_allow_a_module(mine, tmp_path):
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "mine.yaml").write_text(
        MODEL_FILE.replace("my_models", mine) + f"plugins: [{mine}]\n"
    )
    words = [f"hydra.searchpath=[file://{tmp_path}/conf]", "model=mine"]
    settings = plain(compose(words, "train"))
    with pytest.raises(BadConfig, match="is refused"):
        chosen(settings)
