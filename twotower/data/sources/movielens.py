"""MovieLens: 100K, 1M, and the CSV layout of latest-small, 20M, 25M and 32M, with all their side features.

Source: Harper and Konstan (2015), The MovieLens Datasets: History and Context, ACM TiiS 5(4).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from twotower.data.dataset import Dataset
from twotower.data.reading.assembly import Events, FeatureRows, build, number_ids, refuse_unknown, used_ids
from twotower.data.reading.bad_rows import BadRows, OnBadRows
from twotower.data.reading.download import Archive, fetch
from twotower.data.reading.files import CSV, Delimited, read_delimited
from twotower.data.reading.raw_table import RawTable
from twotower.data.sources import movielens_features as side
from twotower.errors import BadConfig

HOST = "https://files.grouplens.org/datasets/movielens"
COLUMNS = ("user", "item", "rating", "time")
CSV_NAMES = ("userId", "movieId", "rating", "timestamp")


@dataclass(frozen=True, slots=True)
class Layout:
    """How a family of releases writes its files.

    Attributes:
        ratings: name of the ratings file.
        columns: its columns: user, item, rating, time.
        form: how it is written.
        lowest: smallest rating that can be given.
        items: reads the movies file.
        side_files: names of the movies file and, if the family has one, the users file.
        users: reads the users file, if the family has one.
        extra_files: names of files that are read where they exist.
    """

    ratings: str
    columns: tuple[str, str, str, str]
    form: Delimited
    lowest: float
    items: Callable[[Path, BadRows], FeatureRows]
    side_files: tuple[str, ...]
    users: Callable[[Path, BadRows], FeatureRows] | None = None
    extra_files: tuple[str, ...] = ()


TABS = Layout(
    "u.data",
    COLUMNS,
    Delimited(delimiter="\t", names=COLUMNS),
    1,
    side.items_100k,
    ("u.item", "u.user"),
    side.users_100k,
)
# `::` is read as two `:` with an empty column between
COLONS = Layout(
    "ratings.dat",
    COLUMNS,
    Delimited(delimiter=":", names=("user", "", "item", " ", "rating", "  ", "time")),
    1,
    side.items_1m,
    ("movies.dat", "users.dat"),
    side.users_1m,
    extra_files=(side.EXTRA_FILE,),
)
PLAIN_CSV = Layout("ratings.csv", CSV_NAMES, CSV, 0.5, side.items_csv, ("movies.csv",))


@dataclass(frozen=True, slots=True)
class Release:
    """A published data set: its layout and the digest and size limit of its archive."""

    layout: Layout
    max_bytes: int
    md5: str | None


RELEASES = {
    "ml-100k": Release(TABS, 10 << 20, "0e33842e24a9c977be4e0107933c0723"),
    "ml-1m": Release(COLONS, 12 << 20, "c4d9eecfca2ab87c1945afe126590906"),
    "ml-latest-small": Release(PLAIN_CSV, 4 << 20, None),  # grows from time to time
    "ml-20m": Release(PLAIN_CSV, 250 << 20, "cd245b17a1ae2cc31bb14903e1204af3"),
    "ml-25m": Release(PLAIN_CSV, 320 << 20, "6b51fb2759a8657d3bfcbfc42b592ada"),
    "ml-32m": Release(PLAIN_CSV, 320 << 20, "d472be332d4daa821edc399621853b57"),
}


class MovieLens:
    """Reads one release: every rating is an event of kind "rating" whose value is the stars.

    The order of a user's events at equal times is that of the file.

    Args:
        variant: the release, a key of `RELEASES`; also the name of its folder.
        root: the data folder; the release is downloaded into it if it is absent.
        side_features: read movie and user features.
        tags: also give movies the words that users attached, weighted by how many did (CSV layout). Off by default:
            tags are written after watching, many after the end of the training time, so they leak.
        only_rated: leave movies without any rating out of the catalogue.
        on_bad_rows: "raise" or "drop" rows that make no sense.
        dropped_to: folder for the side files of dropped rows.
    """

    def __init__(
        self,
        *,
        variant: str = "ml-1m",
        root: str | Path = "data-cache",
        side_features: bool = True,
        tags: bool = False,
        only_rated: bool = True,
        on_bad_rows: OnBadRows = "raise",
        dropped_to: str | Path = "data-cache/dropped",
    ) -> None:
        if variant not in RELEASES:
            raise BadConfig(f"variant={variant!r}: choose one of {', '.join(RELEASES)}")
        if tags and RELEASES[variant].layout is not PLAIN_CSV:
            raise BadConfig(f"tags=true: {variant} has no tags; the CSV releases have, e.g. ml-25m")
        self.variant = variant
        self.root = Path(root)
        self.side_features = side_features
        self.tags = tags
        self.only_rated = only_rated
        self.on_bad_rows: OnBadRows = on_bad_rows
        self.dropped_to = Path(dropped_to)

    def files(self) -> tuple[Path, ...]:
        """Ratings, movies, users and tags, as far as the release has them and they are asked for."""
        folder, layout = self.root / self.variant, RELEASES[self.variant].layout
        names = (layout.ratings, *layout.side_files, *((side.TAGS_FILE,) if self.tags else ()))
        extra = (folder / name for name in layout.extra_files)
        return (*(folder / name for name in names), *(path for path in extra if path.is_file()))

    def load(self) -> Dataset:
        """The data set; downloaded first if it is not in the data folder.

        Raises:
            MissingData: it is neither there nor can be fetched.
            BadInput: a file is damaged.
        """
        release = RELEASES[self.variant]
        folder = fetch(Archive(f"{HOST}/{self.variant}.zip", self.variant, release.max_bytes, release.md5), self.root)
        with BadRows(self.on_bad_rows, self.dropped_to) as bad:
            return self._assemble(folder, release.layout, bad)

    def _assemble(self, folder: Path, layout: Layout, bad: BadRows) -> Dataset:
        user, item, rating, time = layout.columns
        ratings = _read_ratings(folder / layout.ratings, layout, bad)
        movies = layout.items(folder, bad)
        refuse_unknown(ratings, item, movies.ids, "the movies file")
        people = layout.users(folder, bad) if layout.users else None
        if people is not None:
            refuse_unknown(ratings, user, people.ids, "the users file")
        if self.tags:
            movies = side.with_tags(movies, folder, bad)
        return build(
            self.variant,
            Events(ratings, user, item, time, value=rating, kinds=("rating",)),
            users=number_ids(used_ids(ratings, user), "user"),
            items=number_ids(used_ids(ratings, item) if self.only_rated else movies.ids, "item"),
            user_features=people if self.side_features else None,
            item_features=movies if self.side_features else None,
            title="title" if self.side_features else None,
        )


def _read_ratings(path: Path, layout: Layout, bad: BadRows) -> RawTable:
    """Checked ratings: ids, stars from the lowest to 5, seconds."""
    user, item, rating, time = layout.columns
    table = read_delimited(path, bad, texts=(user, item), others=(rating, time), form=layout.form)
    table.check_ids(user)
    table.check_ids(item)
    table.check_numbers(rating, layout.lowest, 5)
    table.check_times(time, "s")
    return table
