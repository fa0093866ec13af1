"""Amazon reviews: ratings by day; what a review says is no feature of the product."""

import json

import pytest

from twotower.data.sources.amazon_reviews import AmazonReviews
from twotower.errors import BadInput, MissingData


def review(user, item, stars, time, **more):
    return json.dumps(
        {
            "reviewerID": user,
            "asin": item,
            "overall": stars,
            "unixReviewTime": time,
            "reviewText": "good\u2028",
            **more,
        },
        ensure_ascii=False,
    )


LINES = [
    review("A2", "B1", 5.0, 1393545600, helpful=[0, 0]),
    review("A1", "B1", 2.0, 1363392000),
    review("A2", "B0", 4.0, 1363392000, reviewerName="Jake"),
]


@pytest.fixture
def write(tmp_path):
    """Writes review lines and gives the source that reads them."""

    def source(lines, **options):
        (tmp_path / "reviews.json").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return AmazonReviews(path="reviews.json", root=tmp_path, dropped_to=tmp_path / "aside", **options)

    return source


def test_reviews_are_ratings_in_order_of_time_and_their_text_is_no_feature(write):
    dataset = write(LINES).load()
    assert dataset.user_ids.external.tolist() == ["A1", "A2"]
    assert dataset.item_ids.external.tolist() == ["B0", "B1"]
    assert dataset.interactions.item.tolist() == [1, 0, 1]
    assert dataset.interactions.value.tolist() == [2, 4, 5]
    assert dataset.items.schema.names == dataset.users.schema.names == ()


@pytest.mark.parametrize(
    "line, says",
    [
        (review("A1", "B0", 7, 1363392000), "row 4: overall '7' is outside 1..5"),
        (review("A1", "B0", None, 1363392000), "row 4: overall is missing"),
        (review("A1", "B0", "five", 1363392000), "row 4: overall 'five' is not a finite number"),
        (review("", "B0", 3, 1363392000), "row 4: reviewerID '' is a missing id"),
        ('{"reviewerID": "A1", "asin"', 'row 4: \'{"reviewerID": "A1", "asin"\' is not a JSON object'),
    ],
)
def test_a_damaged_review_is_refused_or_dropped(write, line, says):
    with pytest.raises(BadInput) as error:
        write([*LINES, line]).load()
    assert says in str(error.value)
    assert write([*LINES, line], on_bad_rows="drop").load().fingerprint() == write(LINES).load().fingerprint()


def test_a_file_without_a_field_is_refused(write):
    with pytest.raises(BadInput, match="no column 'unixReviewTime'"):
        write(['{"reviewerID": "A1", "asin": "B0", "overall": 3}']).load()


def test_an_absent_file_is_named_with_the_publishers_page(tmp_path):
    with pytest.raises(MissingData, match=r"fetch the 5-core reviews from https://jmcauley"):
        AmazonReviews(root=tmp_path).load()


@pytest.mark.data
def test_the_published_counts_are_found(data_root):
    dataset = AmazonReviews(root=data_root).load()
    assert (dataset.n_users, dataset.n_items, len(dataset.interactions)) == (1_429, 900, 10_261)
