"""Amazon product reviews as JSON lines (the 2014 release): every review is a rating with a day.

Source: McAuley, Targett, Shi, van den Hengel (2015), Image-based recommendations on styles and substitutes, SIGIR.
"""

from pathlib import Path

import pyarrow as pa

from twotower.data.dataset import Dataset
from twotower.data.reading.assembly import Events, build, number_ids, used_ids
from twotower.data.reading.bad_rows import BadRows, OnBadRows
from twotower.data.reading.files import read_json_lines
from twotower.errors import MissingData

HOME = "https://jmcauley.ucsd.edu/data/amazon/"
FIELDS = pa.schema(
    [
        ("reviewerID", pa.string()),
        ("asin", pa.string()),
        ("overall", pa.float64()),
        ("unixReviewTime", pa.int64()),
    ]
)


class AmazonReviews:
    """Reads one file of reviews: events of kind "rating", value 1 to 5 stars, time the day of the review.

    Text, summary and votes of a review belong to the event that is to be foreseen and are therefore no features. A
    user's reviews of one day keep the order of the file, which is by product and says nothing about the day.

    Args:
        path: the file under the data folder, plain or .gz.
        root: the data folder.
        name: of the data set.
        on_bad_rows: "raise" or "drop" rows that make no sense.
        dropped_to: folder for the side files of dropped rows.
    """

    def __init__(
        self,
        *,
        path: str = "amazon-musical-instruments-5core/Musical_Instruments.json",
        root: str | Path = "data-cache",
        name: str = "amazon-musical-instruments",
        on_bad_rows: OnBadRows = "raise",
        dropped_to: str | Path = "data-cache/dropped",
    ) -> None:
        self.path = Path(root) / path
        self.name = name
        self.on_bad_rows: OnBadRows = on_bad_rows
        self.dropped_to = Path(dropped_to)

    def files(self) -> tuple[Path, ...]:
        """The file of reviews."""
        return (self.path,)

    def load(self) -> Dataset:
        """The data set.

        Raises:
            MissingData: the file is not in the data folder.
            BadInput: it is damaged.
        """
        if not self.path.is_file():
            raise MissingData(f"{self.path} is absent; fetch the 5-core reviews from {HOME} and put them there")
        with BadRows(self.on_bad_rows, self.dropped_to) as bad:
            reviews = read_json_lines(self.path, bad, FIELDS.names, FIELDS)
            reviews.check_ids("reviewerID")
            reviews.check_ids("asin")
            reviews.check_numbers("overall", 1, 5)
            reviews.check_times("unixReviewTime", "s")
        return build(
            self.name,
            Events(reviews, "reviewerID", "asin", "unixReviewTime", value="overall", kinds=("rating",)),
            users=number_ids(used_ids(reviews, "reviewerID"), "user"),
            items=number_ids(used_ids(reviews, "asin"), "item"),
        )
