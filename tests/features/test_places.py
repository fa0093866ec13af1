"""`kilometres` against known distances, and cells that are about as large everywhere."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower.data.tables import Column, FeatureSchema, FeatureTable, Kind
from twotower.errors import BadInput
from twotower.features.encoders import FeatureEncoder
from twotower.features.places import EARTH_RADIUS, KILOMETRES_A_DEGREE, NOWHERE, cells, kilometres

BERLIN, PARIS = (52.5200, 13.4050), (48.8566, 2.3522)
DEGREES = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


def test_berlin_to_paris_and_a_degree_of_latitude():
    assert kilometres(*BERLIN, *PARIS) == pytest.approx(877.5, abs=1)
    assert kilometres(0, 0, 1, 0) == pytest.approx(KILOMETRES_A_DEGREE) == pytest.approx(111.195, abs=0.01)
    assert kilometres(0, -179.5, 0, 179.5) == pytest.approx(KILOMETRES_A_DEGREE)  # across the date line


@given(DEGREES, DEGREES)
def test_distance_is_symmetric_and_agrees_with_the_angle_between_vectors(a, b):
    def vector(lat, lon):
        lat, lon = np.radians([lat, lon])
        return np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])

    # atan2 of cross and dot product is exact at all angles
    u, v = vector(*a), vector(*b)
    angle = np.arctan2(np.linalg.norm(np.cross(u, v)), u @ v)
    assert kilometres(*a, *b) == pytest.approx(EARTH_RADIUS * angle, abs=0.5)
    assert kilometres(*a, *b) == kilometres(*b, *a)


def test_shapes_broadcast_and_missing_coordinates_are_nan():
    lat, lon = np.array([52.52, np.nan]), np.array([13.405, 0.0])
    assert kilometres(lat[:, None], lon[:, None], [52.52, 48.8566], [13.405, 2.3522]).shape == (2, 2)
    assert np.isnan(kilometres(lat, lon, 0.0, 0.0)).tolist() == [False, True]


@given(DEGREES, st.sampled_from([10.0, 30.0, 100.0]))
def test_places_of_one_cell_are_at_most_a_diagonal_apart(place, size):
    rng = np.random.default_rng(0)
    lat = np.clip(place[0] + rng.uniform(-1, 1, 400), -90, 90)
    lon = np.clip(place[1] + rng.uniform(-1, 1, 400), -180, 180)
    cell = cells(lat, lon, size)
    same = cell == cell[0]
    assert kilometres(lat[0], lon[0], lat[same], lon[same]).max() <= 1.7 * size


def test_places_farther_apart_than_a_diagonal_have_other_cells():
    rng = np.random.default_rng(1)
    lat, lon = rng.uniform(-60, 70, 2000), rng.uniform(-180, 180, 2000)
    cell = cells(lat, lon, 100.0)
    first = np.unique(cell, return_index=True)[1]
    assert len(first) > 1500
    pairs = np.flatnonzero(cell[1:] == cell[0]) + 1
    assert (kilometres(lat[0], lon[0], lat[pairs], lon[pairs]) < 150).all()


def test_missing_and_impossible_places_have_no_cell_and_180_is_minus_180():
    assert cells([np.nan, 91.0, 0.0, 90.0], [0.0, 0.0, 181.0, 0.0], 30.0).tolist()[:3] == [NOWHERE] * 3
    east, west = cells([0.01, 0.01], [180.0, -180.0], 30.0)
    assert east == west >= 0


LATITUDE, LONGITUDE = Column("lat", Kind.PLACE, low=40.0), Column("lon", Kind.PLACE)


def towns(*places: tuple[float, float], columns=(LATITUDE, LONGITUDE)) -> FeatureTable:
    values = dict(zip((c.name for c in columns), np.array(places, np.float64).T, strict=True))
    return FeatureTable(FeatureSchema(columns), values, len(places))


def test_places_become_cells_of_every_size_and_new_ones_the_unknown_code(tmp_path):
    munich, augsburg = (48.137, 11.575), (48.371, 10.898)  # 57 km apart
    learnt = towns(BERLIN, BERLIN, munich, (np.nan, 8.0), (12.0, 8.0))
    encoder = FeatureEncoder.fit(learnt, place_cells=(300.0, 10.0))
    assert encoder.sizes == {"lat,lon@300km": 3, "lat,lon@10km": 3}
    encoder.save(tmp_path)
    codes = FeatureEncoder.load(tmp_path).transform(towns(munich, augsburg, BERLIN, PARIS, (np.nan, 8.0))).codes
    assert codes["lat,lon@300km"].tolist() == [1, 1, 2, 0, 0]
    assert codes["lat,lon@10km"].tolist() == [1, 0, 2, 0, 0]


def test_cells_with_too_few_rows_share_the_unknown_code():
    learnt = towns(BERLIN, BERLIN, PARIS)
    encoder = FeatureEncoder.fit(learnt, place_cells=(10.0,), min_count=2)
    assert encoder.transform(learnt).codes["lat,lon@10km"].tolist() == [1, 1, 0]


def test_a_place_with_one_column_left_out_has_no_cells_and_the_other_stays_a_number():
    encoder = FeatureEncoder.fit(towns(BERLIN, PARIS), exclude=["lat"], place_cells=(10.0,))
    assert (encoder.sizes, encoder.continuous_names) == ({}, ("lon",))


def test_a_single_coordinate_is_refused():
    single = towns((52.0,), columns=(LATITUDE,))
    with pytest.raises(BadInput, match="lat: a place is two columns"):
        FeatureEncoder.fit(single, place_cells=(10.0,))
