"""Catalogue rules: what each operator means on each kind of column, and how a wrong rule is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower.data.dataset import Lifetimes
from twotower.data.tables import MISSING_TIME, Categories, Column, FeatureSchema, FeatureTable, Kind, MultiCategories
from twotower.errors import BadConfig
from twotower.stages.filters import Rule, all_of, lifetime_masks, rule_masks

DAY = 86_400
COLUMNS = {
    "price": (Kind.CONTINUOUS, np.array([9_000.0, 15_000.0, 15_001.0, np.nan])),
    "fuel": (Kind.CATEGORICAL, Categories.of(["diesel", "petrol", None, "diesel"])),
    "doors": (Kind.CATEGORICAL, Categories.of([3, 5, None, 5])),
    "genres": (Kind.MULTI_CATEGORICAL, MultiCategories.of([["Comedy"], ["Comedy", "Film-Noir"], [], ["Drama"]])),
    "title": (Kind.TEXT, np.array(["Alien", "Babe", "", "A >= B"], dtype=object)),
    "listed": (Kind.TIMESTAMP, np.array([0, DAY, 2 * DAY, MISSING_TIME])),
    "body type": (Kind.CATEGORICAL, Categories.of(["station wagon", "van", "van", None])),
}
CATALOGUE = FeatureTable(
    FeatureSchema(tuple(Column(name, kind) for name, (kind, _) in COLUMNS.items())),
    {name: values for name, (_, values) in COLUMNS.items()},
    4,
)


@pytest.mark.parametrize(
    ("rule", "items"),
    [
        ("price<=15000", [0, 1]),
        ("price < 15e3", [0]),
        ("price>15000", [2]),
        ("price >= 15000", [1, 2]),
        ("price=9000", [0]),
        ("price!=9000", [1, 2, 3]),
        ("price in 9000, 15001", [0, 2]),
        ("fuel=diesel", [0, 3]),
        ("fuel==diesel", [0, 3]),
        ("fuel!=diesel", [1, 2]),
        ("fuel in diesel,petrol", [0, 1, 3]),
        ("fuel not in diesel,petrol", [2]),
        ("doors>=4", [1, 3]),
        ("doors<5", [0]),
        ("genres=Comedy", [0, 1]),
        ("genres!=Comedy", [2, 3]),
        ("genres in (Drama, Film-Noir)", [1, 3]),
        ("genres  not  in  [Drama, Film-Noir]", [0, 2]),
        ("title=Alien", [0]),
        ("title!=Alien", [1, 2, 3]),
        ("listed>=1970-01-02", [1, 2]),
        ("listed<1970-01-02T12:00:00+00:00", [0, 1]),
        ("listed=172800", [2]),
        ("body type=station wagon", [0]),
        ("body type in van", [1, 2]),
    ],
)
def test_rule_allows_exactly_these_items(rule, items):
    mask = Rule.parse(rule).mask(CATALOGUE)
    assert mask.dtype == np.bool_
    assert np.flatnonzero(mask).tolist() == items


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("prise<=15000", "no column 'prise'; did you mean price"),
        ("fuel=dissel", "no item has fuel 'dissel'; did you mean diesel"),
        ("price<=cheap", "'cheap' is not a number"),
        ("fuel<diesel", "'fuel' have no order"),
        ("genres>Comedy", "several values has no order"),
        ("title>=A", "text has no order"),
        ("listed>=soon", "neither a date"),
        ("price", "write a column, one of"),
        ("<=3", "write a column, one of"),
        ("price<=", "write a column, one of"),
        ("fuel in ()", "write a column, one of"),
        ("fuel===diesel", "write a column, one of"),
        ("", "write a column, one of"),
        ("__import__('os').system('true')", "write a column, one of"),
    ],
)
def test_wrong_rule_is_refused_and_says_why(rule, says):
    with pytest.raises(BadConfig) as refused:
        rule_masks([rule], CATALOGUE)
    assert says in str(refused.value)
    assert rule in str(refused.value)


@given(st.text(max_size=40))
def test_any_text_is_parsed_or_refused(text):
    try:
        parsed = Rule.parse(text)
    except BadConfig:
        return
    assert parsed.column
    assert Rule.parse(str(parsed)) == parsed or parsed.operator.endswith("in")


@given(st.sampled_from(["<", "<=", ">", ">=", "="]), st.floats(0, 20_000))
def test_numbers_compare_as_numpy_does(operator, limit):
    prices = COLUMNS["price"][1]
    expected = {"<": prices < limit, "<=": prices <= limit, ">": prices > limit, ">=": prices >= limit,
                "=": prices == limit}[operator]  # fmt: skip
    np.testing.assert_array_equal(Rule.parse(f"price{operator}{limit!r}").mask(CATALOGUE), expected)


def test_rules_are_joined_by_and():
    masks = rule_masks(["price<=15000", " fuel=diesel "], CATALOGUE)
    assert list(masks) == ["price<=15000", "fuel=diesel"]
    assert np.flatnonzero(all_of(masks.values())).tolist() == [0]
    assert all_of([]) is None


def test_items_are_for_sale_from_since_until_just_before_until():
    masks = lifetime_masks(Lifetimes(np.array([0, 5, 10]), np.array([5, 10, 20])), at=5)
    assert masks["not sold"].tolist() == [False, True, True]
    assert masks["already listed"].tolist() == [True, True, False]
    assert (
        all_of(masks.values()).tolist() == Lifetimes(np.array([0, 5, 10]), np.array([5, 10, 20])).available(5).tolist()
    )


def test_unknown_lifetimes_forbid_nothing():
    assert lifetime_masks(None, at=5) == {}


ODD = {
    "made in": Categories.of(["DE", "FR"]),
    "not in stock": Categories.of(["yes", "no"]),
    "in": Categories.of(["a", "b"]),
    "a<b": Categories.of(["x", "y"]),
    "a": Categories.of(["b", "c"]),
    "price=": Categories.of(["1", "2"]),
}


@pytest.mark.parametrize(
    ("rule", "items"),
    [
        ("made in = DE", [0]), ("made in in DE,FR", [0, 1]), ("made in not in DE", [1]), ("not in stock in no", [1]),
        ("not in stock!=no", [0]), ("in in a", [0]), ("in=b", [1]), ("a<b=x", [0]), ("a<b in y", [1]), ("a=b", [0]),
        ("a in c", [1]), ("price==2", [1]), ("price= = 2", [1]),
    ],
)  # fmt: skip
def test_columns_may_be_named_by_words_and_signs_of_rules(rule, items):
    catalogue = FeatureTable(FeatureSchema(tuple(Column(n, Kind.CATEGORICAL) for n in ODD)), ODD, 2)
    assert np.flatnonzero(rule_masks([rule], catalogue)[rule]).tolist() == items
