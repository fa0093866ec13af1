"""The runner on MovieLens 1M, against figures that were measured elsewhere on the same split."""

import pytest

from twotower.data.sources.movielens import MovieLens
from twotower.data.splitters import LeaveLast
from twotower.evaluation.examine import examine
from twotower.models.popular import Popular


@pytest.mark.data
@pytest.mark.slow
def test_popular_on_ml_1m_has_the_known_map_at_five(data_root):
    if not (data_root / "ml-1m" / "ratings.dat").exists():
        pytest.skip(f"no ml-1m in {data_root}")
    split = LeaveLast(n=1).split(MovieLens(variant="ml-1m", root=data_root).load())
    assert (len(split.train), len(split.validation.target), len(split.test.target)) == (988_129, 6_040, 6_040)
    found = examine(Popular().fit(split.refit()), split.test, ks=(5, 10))
    assert found.mean("map@5") == pytest.approx(0.0102, abs=5e-5)
