"""Small published runs and indexes of every kind, for the tests of what goes wrong around them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from twotower.config.compose import group_files, instantiate
from twotower.runs.bundle import Bundle
from twotower.runs.publishing import publish, publish_index

N, D = 300, 16
FACTORIES = {"faiss HNSW": "HNSW32", "faiss SQfp16": "IVF{cells},SQfp16"}
LISTED = {file.stem: dict(OmegaConf.load(file)) for file in group_files("index") if file.stem != "auto"}
KINDS = LISTED | {name: LISTED["faiss"] | {"factory": factory} for name, factory in FACTORIES.items()}


def unit_vectors(n: int, dim: int, seed: int) -> np.ndarray:
    """Random unit vectors. Shape [n, dim]."""
    drawn = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@dataclass(frozen=True)
class Runs:
    """Makes runs that hold nothing but vectors, and indexes over them."""

    directory: Path

    def publish(self, name: str, vectors: np.ndarray) -> Bundle:
        def write(directory: Path) -> None:
            (directory / "towers.safetensors").write_bytes(vectors[:1].tobytes())
            np.save(directory / "item_vectors.npy", vectors)

        return publish(self.directory, name, write, {"dataset": "d1"})

    def indexed(self, name: str, options: dict, vectors: np.ndarray) -> Bundle:
        bundle = self.publish(name, vectors)
        publish_index(bundle, instantiate(options).build(bundle.item_vectors()), {})
        return Bundle.open(bundle.directory)


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path / "runs")


@pytest.fixture(scope="session")
def runs_in():
    """Makes a `Runs` of a folder."""
    return Runs


@pytest.fixture(scope="session")
def kinds():
    """Options by name of every backend that conf/index names, and of further kinds of faiss index."""
    return KINDS


@pytest.fixture(params=KINDS.values(), ids=KINDS.keys())
def options(request):
    return request.param


@pytest.fixture(scope="session")
def vectors():
    return unit_vectors(N, D, 1)


@pytest.fixture(scope="session")
def other_vectors():
    return unit_vectors(N, D, 2)


@pytest.fixture(scope="session")
def queries():
    return unit_vectors(12, D, 3)
