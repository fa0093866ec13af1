"""What a source reads is what comes back after saving as Parquet: every column kind, and every real source."""

from pathlib import Path

import numpy as np
import pytest

from twotower.data.categories import Categories, MultiCategories
from twotower.data.dataset import Dataset
from twotower.data.positives import select_positives
from twotower.data.sources.amazon_reviews import AmazonReviews
from twotower.data.sources.lastfm import LastFM
from twotower.data.sources.movielens import MovieLens
from twotower.data.sources.tabular import from_yaml

SHOP = Path(__file__).parents[2] / "examples" / "own_data" / "shop.yaml"


def assert_same(one: Dataset, other: Dataset) -> None:
    assert one.fingerprint() == other.fingerprint()
    assert (one.name, one.category, one.title) == (other.name, other.category, other.title)
    assert one.interactions.kinds == other.interactions.kinds
    for ours, theirs in ((one.users, other.users), (one.items, other.items)):
        assert ours.schema == theirs.schema
        for name in ours.schema.names:
            for a, b in zip(arrays(ours[name]), arrays(theirs[name]), strict=True):
                np.testing.assert_array_equal(a, b)


def arrays(values) -> list:
    if isinstance(values, Categories):
        return [values.codes, values.values]
    if isinstance(values, MultiCategories):
        return [values.codes.values, values.codes.offsets, values.weights, values.values]
    return [values]


def test_own_data_with_every_column_kind_survives_saving(tmp_path):
    shop = from_yaml(SHOP).load()
    shop.save(tmp_path)
    assert_same(shop, Dataset.load(tmp_path))


def test_positives_survive_saving(tmp_path):
    bought = select_positives(from_yaml(SHOP).load(), kinds=["buy"])
    bought.save(tmp_path)
    loaded = Dataset.load(tmp_path)
    assert_same(bought, loaded)
    assert (loaded.n_users, loaded.n_items) == (60, 80)


@pytest.mark.data
@pytest.mark.parametrize(
    "source",
    [
        lambda root: MovieLens(variant="ml-100k", root=root),
        lambda root: MovieLens(variant="ml-latest-small", root=root, tags=True),
        lambda root: MovieLens(variant="ml-1m", root=root),
        lambda root: LastFM(root=root),
        lambda root: AmazonReviews(root=root),
    ],
    ids=["ml-100k", "ml-latest-small", "ml-1m", "lastfm", "amazon"],
)
def test_real_sources_survive_saving(data_root, tmp_path, source):
    dataset = source(data_root).load()
    dataset.save(tmp_path)
    assert_same(dataset, Dataset.load(tmp_path))
