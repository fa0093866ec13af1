"""Simple baselines on MovieLens 1M, leave-last-one: figures that were measured elsewhere on this very split."""

import pytest

from twotower.data.sources.movielens import MovieLens
from twotower.data.splitters import LeaveLast
from twotower.evaluation.examine import examine
from twotower.models.linear import EASE
from twotower.models.popular import Popular


@pytest.fixture(scope="module")
def ml_1m(data_root):
    if not (data_root / "ml-1m" / "ratings.dat").exists():
        pytest.skip(f"no ml-1m in {data_root}")
    return LeaveLast(n=1).split(MovieLens(variant="ml-1m", root=data_root).load())


@pytest.mark.data
@pytest.mark.slow
def test_popular_reaches_its_known_figure(ml_1m):
    assert examine(Popular().fit(ml_1m.refit()), ml_1m.test).mean("map@5") == pytest.approx(0.0102, abs=0.0005)


@pytest.mark.data
@pytest.mark.slow
def test_ease_reaches_its_known_figures(ml_1m):
    evaluation = examine(EASE(l2=500.0).fit(ml_1m.refit()), ml_1m.test)
    assert evaluation.mean("map@5") == pytest.approx(0.0316, abs=0.002)
    assert evaluation.mean("ndcg@10") == pytest.approx(0.053, abs=0.003)
