"""`RawCosine`: the shared part by hand, and dense vectors as oracle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twotower.errors import BadInput
from twotower.features.cosine import RawCosine
from twotower.features.encoded import Bags, EncodedTable, as_matrix
from twotower.features.profiles import ProfileLearner
from twotower.types import Ragged


def bags(rows, weights) -> Bags:
    return Bags(Ragged.from_lists(rows, np.int32), np.array(weights, np.float32))


def test_the_cosine_is_that_of_the_shared_part():
    profiles = EncodedTable(
        {"make": 3, "mood": 9}, {"make": bags([[1, 2]], [0.5, 0.5]), "mood": bags([[4]], [1])},
        np.array([[2, 7, 7]], np.float32), ("price:mean", "price:sd", "log_events"),
    )  # fmt: skip
    items = EncodedTable(
        {"make": 3}, {"make": np.array([2, 0], np.int32)}, np.array([[1, 0], [0, 1]], np.float32), ("price", "price?")
    )
    cosine = RawCosine(profiles, items)
    # profile (make .5 .5, price 2), item 0 (make 0 1, price 1): (.5 + 2) / (sqrt(4.5) sqrt(2)) = 2.5 / 3
    # item 1: unknown make, missing price: nothing to compare
    assert cosine(np.array([0, 0]), np.array([0, 1])) == pytest.approx([2.5 / 3, 0])
    assert (cosine.fields, cosine.numbers) == (("make",), ("price",))


def test_the_empty_profile_is_like_nothing(random_market):
    dataset, encoder = random_market(3)
    profiles = ProfileLearner().fit(dataset, dataset.interactions, encoder)
    cosine = RawCosine(profiles.table, encoder.transform(dataset.items))
    assert not cosine(np.zeros(8, np.int64), np.arange(8)).any()


def test_tables_of_two_encoders_are_refused():
    ours = EncodedTable({"make": 3}, {"make": bags([[1]], [1])}, np.zeros((1, 0), np.float32), ())
    theirs = EncodedTable({"make": 4}, {"make": np.array([1], np.int32)}, np.zeros((1, 0), np.float32), ())
    with pytest.raises(BadInput, match="'make' has 3 codes in the profiles but 4 in the items"):
        RawCosine(ours, theirs)


def test_tables_that_share_nothing_are_unlike(random_market):
    dataset, encoder = random_market(3)
    items = encoder.transform(dataset.items)
    assert RawCosine(EncodedTable.empty(2), items)(np.array([0, 1]), np.array([0, 1])).tolist() == [0, 0]


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_it_agrees_with_dense_vectors(random_market, seed):
    dataset, encoder = random_market(seed)
    profiles = ProfileLearner(min_events=1).fit(dataset, dataset.interactions, encoder).table
    items = encoder.transform(dataset.items)
    u = np.hstack([as_matrix(profiles.codes[f], s).toarray() for f, s in items.sizes.items()])
    v = np.hstack([as_matrix(items.codes[f], s).toarray() for f, s in items.sizes.items()])
    u, v = np.hstack([u, profiles.continuous[:, :1]]), np.hstack([v, items.continuous[:, :1]])  # price:mean, price
    rows, columns = (g.ravel() for g in np.meshgrid(np.arange(len(u)), np.arange(len(v)), indexing="ij"))
    lengths = np.linalg.norm(u, axis=1)[rows] * np.linalg.norm(v, axis=1)[columns]
    oracle = np.where(lengths > 0, (u @ v.T).ravel() / np.where(lengths > 0, lengths, 1), 0)
    assert RawCosine(profiles, items)(rows, columns) == pytest.approx(oracle, abs=1e-5)
