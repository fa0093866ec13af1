"""A model is added by one file and one YAML: a vector model, a pair model and a torch model, each to its run."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import twotower.models
from twotower.commands import build_index, evaluate, recommend, similar, train, tune
from twotower.config.compose import conf_dir, locate
from twotower.config.models import listed_model
from twotower.runs.served_run import ServedRun
from twotower.testing import ModelTests, PairModelTests, VectorModelTests, two_tastes
from twotower.training.context import FitContext

SHOP = Path(__file__).parents[2] / "examples" / "own_data" / "shop.yaml"

VECTORS = '''"""`Svd`: vectors of items from the singular values of who touched what."""

from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import TruncatedSVD

from twotower.models.matrix import history_matrix, pair_matrix, popularity
from twotower.models.options import count, require
from twotower.models.vector_model import VectorModel
from twotower.training.context import QUIET


@dataclass(kw_only=True, eq=False, repr=False)
class Svd(VectorModel):
    """Items alike are touched by the same users."""

    dim: int = 8
    seed: int = 0

    def __post_init__(self):
        require(self, dim=count)

    def fit(self, split, context=QUIET):
        users = pair_matrix(split.train.unique_pairs())
        decomposed = TruncatedSVD(self.dim, random_state=self.seed).fit(users)
        self._item_vectors = np.ascontiguousarray(decomposed.components_.T, np.float32)
        self._popular, self.n_items = popularity(split.train), split.train.n_items
        return self

    def query_vectors(self, queries):
        self._check(queries)
        rows = history_matrix(queries.histories, self.n_items).astype(np.float64)
        return np.asarray(rows @ self._item_vectors.astype(np.float64), np.float32)

    def state(self):
        return {"items": self._item_vectors, "popular": self._popular}

    def set_state(self, state):
        self._item_vectors, self._popular = state["items"], state["popular"]
'''
PAIRS = '''"""`ItemMean`: an item's value is the mean of its values, drawn to the mean of all."""

from dataclasses import dataclass

import numpy as np

from twotower.models.options import not_negative, require
from twotower.models.pairs import PairModel, known_or_last
from twotower.training.context import QUIET


@dataclass(kw_only=True, eq=False, repr=False)
class ItemMean(PairModel):
    """Damped means."""

    l2: float = 5.0

    def __post_init__(self):
        require(self, l2=not_negative)

    def fit(self, split, context=QUIET):
        events, mean = split.train, float(split.train.value.mean())
        sums = np.bincount(events.item, events.value - mean, minlength=events.n_items)
        counts = np.bincount(events.item, minlength=events.n_items)
        self._means = np.append(mean + sums / np.maximum(counts + self.l2, 1e-9), mean).astype(np.float32)
        self.n_items = events.n_items
        return self

    def raw_values(self, users, items, at):
        return self._means[known_or_last(items, self.n_items)]

    def state(self):
        return {"means": self._means}

    def set_state(self, state):
        self._means = state["means"]
'''
TORCH = '''"""`Product`: a product of two embeddings by squared error, the smallest torch model."""

from dataclasses import dataclass

import torch
from torch import nn

from twotower.models.neural import NeuralModel
from twotower.models.pairs import PairModel, known_or_last
from twotower.training.tasks import ValuedPairs


class Tables(nn.Module):
    def __init__(self, users, items, dim):
        super().__init__()
        self.users, self.items = nn.Embedding(users + 1, dim), nn.Embedding(items + 1, dim)

    def forward(self, users, items):
        return (self.users(users) * self.items(items)).sum(dim=1)


@dataclass(kw_only=True, eq=False, repr=False)
class Product(NeuralModel, PairModel):
    """Value = user vector · item vector."""

    dim: int = 8
    epochs: int = 6
    batch_size: int = 64
    lr: float = 0.02
    metric: str = "rmse"

    def build(self, facts):
        return Tables(facts["n_users"], facts["n_items"], self.dim)

    def task(self, module, split, workers):
        return ValuedPairs(
            module=module, optimizers=[torch.optim.Adam(module.parameters(), lr=self.lr)], events=split.train,
            batch_size=self.batch_size, seed=self.seed, workers=workers,
            loss=lambda users, items, values: (module(users, items) - values).square().mean(),
        )

    @torch.inference_mode()
    def raw_values(self, users, items, at):
        rows = known_or_last(users, self.facts["n_users"]), known_or_last(items, self.facts["n_items"])
        return self.module(*map(self._tensor, rows)).numpy()
'''
YAML = """# @package _global_
model_name: {name}
family: {family}
model:
  _target_: twotower.models.added_{name}.{kind}
search:
  {option}: [{values}]
"""
ADDED = {
    "svd": (VECTORS, "Svd", "cf", "dim", "4, 8"),
    "item_mean": (PAIRS, "ItemMean", "rating", "l2", "1.0, 5.0"),
    "product": (TORCH, "Product", "rating", "lr", "0.01, 0.02"),
}


@pytest.fixture(scope="module", autouse=True)
def house(tmp_path_factory):
    """The house with three more files below `twotower/models` and three more in `conf/model`."""
    folder = tmp_path_factory.mktemp("house")
    shutil.copytree(conf_dir(), folder / "twotower" / "conf")
    (folder / "models").mkdir()
    for name, (code, kind, family, option, values) in ADDED.items():
        (folder / "models" / f"added_{name}.py").write_text(code)
        text = YAML.format(name=name, kind=kind, family=family, option=option, values=values)
        (folder / "twotower" / "conf" / "model" / f"{name}.yaml").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("twotower.config.compose.__file__", str(folder / "twotower" / "config" / "compose.py"))
        patch.setattr(twotower.models, "__path__", [*twotower.models.__path__, str(folder / "models")])
        yield folder
    for name in ADDED:
        sys.modules.pop(f"twotower.models.added_{name}", None)


@pytest.fixture
def typed(tmp_path, monkeypatch, capsys):
    """Types a command in an empty folder; gives its output, which must not be an error."""
    monkeypatch.chdir(tmp_path)

    def run(command, *words: str) -> str:
        status = command.main(list(words))
        printed = capsys.readouterr()
        assert status == 0, printed.err
        return printed.out

    return run


def own(name: str) -> list[str]:
    return ["data=own", f"data.source.path={SHOP}", f"model={name}", f"run={name}", "progress=false"]


def suite(name: str, kind: type[ModelTests], **claims) -> ModelTests:
    return type(f"Test{name}", (kind,), {"make": staticmethod(listed_model(name).make), **claims})()


def claims_of(kind: type) -> list[str]:
    return sorted(claim for claim in dir(kind) if claim.startswith("test_"))


@pytest.mark.parametrize("claim", claims_of(VectorModelTests))
def test_the_vector_model_keeps_the_contract(claim, tmp_path):
    ask(suite("svd", VectorModelTests), claim, tmp_path)


@pytest.mark.parametrize("claim", claims_of(PairModelTests))
@pytest.mark.parametrize("name", ["item_mean", "product"])
def test_the_models_of_values_keep_the_contract(name, claim, tmp_path):
    ask(suite(name, PairModelTests, is_personal=False), claim, tmp_path)


def ask(tests: ModelTests, claim: str, tmp_path: Path) -> None:
    method = getattr(tests, claim)
    method(tmp_path) if "tmp_path" in method.__code__.co_varnames else method()


def test_the_vector_model_is_trained_indexed_served_tuned_and_compared(typed):
    assert "Svd" in typed(train, *own("svd"))
    assert "recall@10 1.0000" in typed(build_index, "run=svd")
    assert "user U001, run svd: known user" in typed(recommend, "--user", "U001", "--run", "svd")
    assert typed(similar, "--item", "A001", "--run", "svd", "--k", "3").count("\n") == 6
    assert "2 trials" in typed(tune, *own("svd")[:3], "trials=2")
    typed(evaluate, "run=svd", "eval.baselines=[popular]", "eval.baseline=popular", "eval.max_trials=1",
          "eval.resamples=50", "eval.ks=[10]")  # fmt: skip
    report = json.loads(Path("runs/svd/report.json").read_text())
    assert [model["name"] for model in report["models"]] == ["svd (this run)", "popular"]


def test_the_pair_model_ranks_the_candidates_of_another_run(typed):
    typed(train, *own("svd"))
    typed(train, *own("item_mean"))
    assert "run svd + item_mean" in typed(recommend, "--user", "U001", "--run", "svd", "--ranker", "item_mean")
    both, first = ServedRun.open("svd", ranker="item_mean"), ServedRun.open("svd")
    queries = both.query("U001")
    ranked, retrieved = (served.under(n_candidates=10).recommender.recommend(queries, 10) for served in (both, first))
    assert set(ranked.items[0]) == set(retrieved.items[0])  # the same candidates
    assert (ranked.items != retrieved.items).any()  # in another order


def test_the_torch_model_goes_on_from_its_checkpoint_as_if_nothing_had_happened(tmp_path):
    class Killed(Exception):
        """Stands for a kill."""

    def die(figure: float) -> None:
        raise Killed

    make, split = listed_model("product").make, two_tastes()
    unkilled = make().fit(split)
    for _ in range(2):  # each ends in the first epoch that it validates
        with pytest.raises(Killed):
            make().fit(split, FitContext(tmp_path, on_epoch=die))
    resumed = make().fit(split, FitContext(tmp_path))
    for name, array in unkilled.state().items():
        np.testing.assert_array_equal(array, resumed.state()[name], err_msg=name)
    assert (tmp_path / "checkpoints" / "checkpoint.safetensors").exists()
    assert list((tmp_path / "logs").glob("events.out.tfevents*"))


def test_what_was_added_is_found_by_the_name_of_its_file():
    assert locate(listed_model("svd").model["_target_"]).__name__ == "Svd"
