"""Section `vectors`: the map and the feature that colours it."""

import numpy as np

from twotower.data.categories import Categories
from twotower.data.schema import Column, FeatureSchema, Kind
from twotower.data.tables import FeatureTable
from twotower.reports.sections.vectors import vector_map


def test_the_map_is_coloured_by_the_feature_that_separates_the_vectors():
    rng = np.random.default_rng(3)
    side = np.repeat([0, 1], 30)
    vectors = (rng.normal(size=(60, 5)) + 8 * side[:, None]).astype(np.float32)
    columns = {"noise": Categories.of(list("ab" * 30)), "side": Categories.of([str(s) for s in side])}
    schema = FeatureSchema(tuple(Column(name, Kind.CATEGORICAL) for name in columns))
    plane = vector_map(vectors, FeatureTable(schema, columns, 60))
    assert plane.feature == "side"
    assert plane.explained > 0.9
    assert vector_map(vectors, FeatureTable.empty(60)) is None
