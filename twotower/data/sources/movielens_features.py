"""Movie and user features of the MovieLens releases: genres, year, people, plot, tags; age, gender, occupation, zip."""

from pathlib import Path

import numpy as np
import pandas as pd

from twotower.data.reading.assembly import FeatureRows, lists_of, positions, refuse_unknown, row_ids, split_lists
from twotower.data.reading.bad_rows import BadRows
from twotower.data.reading.files import Delimited, read_delimited, read_separated
from twotower.data.reading.raw_table import RawTable
from twotower.data.tables import Categories, Column, ColumnValues, Kind, MultiCategories
from twotower.types import Array

GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
NO_GENRE = ("unknown", "(no genres listed)")
AGES_1M = {
    "1": "under 18", "18": "18-24", "25": "25-34", "35": "35-44", "45": "45-49", "50": "50-55", "56": "56 and over",
}  # fmt: skip
OCCUPATIONS_1M = (
    "other", "academic/educator", "artist", "clerical/admin", "college/grad student", "customer service",
    "doctor/health care", "executive/managerial", "farmer", "homemaker", "K-12 student", "lawyer", "programmer",
    "retired", "sales/marketing", "scientist", "self-employed", "technician/engineer", "tradesman/craftsman",
    "unemployed", "writer",
)  # fmt: skip
EXTRA_NAMES = (
    "item", "name", "year", "certificate", "released", "genres", "directors", "writers", "cast", "plot", "poster",
)  # fmt: skip
TAGS_FILE = "tags.csv"
EXTRA_FILE = "movies_extrainfos.dat"
"""Not of the publisher; read where somebody has put it beside the others."""
ABSENT = ("N/A", "NOT RATED", "UNRATED")
ZIP_DIGITS = 2
"""A US zip code's first two digits name a part of a state; all five would name a handful of users."""

TITLE = Column("title", Kind.TEXT)
GENRES = Column("genres", Kind.MULTI_CATEGORICAL)
YEAR = Column("year", Kind.CONTINUOUS, low=1880, high=2035)
GENDER = Column("gender", Kind.CATEGORICAL)
OCCUPATION = Column("occupation", Kind.CATEGORICAL)
ZIP_AREA = Column("zip_area", Kind.CATEGORICAL)


def items_100k(folder: Path, bad: BadRows) -> FeatureRows:
    """`u.item`: title, genres (one 0/1 column each), year."""
    names = ("item", "title", "released", "video", "url", *GENRES_100K)
    form = Delimited(delimiter="|", names=names, encoding="latin-1", quoting=False)
    table = read_delimited(folder / "u.item", bad, texts=("item",), others=("title", *GENRES_100K), form=form)
    for genre in GENRES_100K:
        table.check_numbers(genre, 0, 1)
    _check_keys(table, "item")
    has = np.stack([table.numbers(genre) for genre in GENRES_100K if genre not in NO_GENRE], axis=1)  # [N, genres]
    movie, genre_number = np.nonzero(has)
    known = np.asarray([g for g in GENRES_100K if g not in NO_GENRE], object)
    return _movies(table, "item", lists_of(movie, known[genre_number], len(table)))


def items_1m(folder: Path, bad: BadRows) -> FeatureRows:
    """`movies.dat`: title, genres, year; people, certificate and plot from `movies_extrainfos.dat` if present."""
    table = read_separated(folder / "movies.dat", bad, ("item", "title", "genres"), "::", "latin-1")
    _check_keys(table, "item")
    movies = _movies(table, "item", split_lists(table.text("genres"), "|", NO_GENRE))
    extra = folder / EXTRA_FILE
    return movies.join(_extra(extra, movies.ids, bad)) if extra.is_file() else movies


def items_csv(folder: Path, bad: BadRows) -> FeatureRows:
    """`movies.csv`: title, genres, year."""
    table = read_delimited(folder / "movies.csv", bad, texts=("movieId",), others=("title", "genres"))
    _check_keys(table, "movieId")
    return _movies(table, "movieId", split_lists(table.text("genres"), "|", NO_GENRE))


def users_100k(folder: Path, bad: BadRows) -> FeatureRows:
    """`u.user`: age in years, gender, occupation, first digits of the zip code."""
    form = Delimited(delimiter="|", names=("user", "age", "gender", "occupation", "zip"))
    table = read_delimited(
        folder / "u.user", bad, texts=("user", "zip"), others=("age", "gender", "occupation"), form=form
    )
    table.check_numbers("age", 1, 120)
    _check_keys(table, "user")
    age = Column("age", Kind.CONTINUOUS, low=1, high=120)
    return FeatureRows(row_ids(table, "user"), {age: table.numbers("age"), **_person(table, table.text("occupation"))})


def users_1m(folder: Path, bad: BadRows) -> FeatureRows:
    """`users.dat`: age band, gender, occupation, first digits of the zip code."""
    table = read_separated(folder / "users.dat", bad, ("user", "gender", "age", "occupation", "zip"), "::", "latin-1")
    table.check_numbers("occupation", 0, len(OCCUPATIONS_1M) - 1)
    unlisted = ~np.isin(table.text("age").astype(str), list(AGES_1M))
    table.refuse(unlisted, "age", "is no age band", f"use one of {', '.join(AGES_1M)}")
    _check_keys(table, "user")
    age = Column("age", Kind.CATEGORICAL)
    bands = Categories.of([AGES_1M[code] for code in table.text("age")])
    jobs = np.asarray(OCCUPATIONS_1M, object)[table.numbers("occupation").astype(np.int64)]
    return FeatureRows(row_ids(table, "user"), {age: bands, **_person(table, jobs)})


def with_tags(movies: FeatureRows, folder: Path, bad: BadRows) -> FeatureRows:
    """Adds from `tags.csv` the words that users attached to a movie, in lower case; weight: users who wrote it."""
    table = read_delimited(folder / TAGS_FILE, bad, texts=("userId", "movieId"), others=("tag",))
    table.check_ids("userId")
    table.check_ids("movieId")
    refuse_unknown(table, "movieId", movies.ids, "movies.csv")
    words = pd.Series(table.text("tag"), dtype=str).str.strip().str.lower()
    taggings = pd.DataFrame(
        {"movie": positions(table, "movieId", movies.ids), "user": table.ids("userId")[0], "tag": words}
    )
    counts = taggings[taggings["tag"] != ""].drop_duplicates().groupby(["movie", "tag"]).size()
    owner, tag = (counts.index.get_level_values(name).to_numpy() for name in ("movie", "tag"))
    tags = lists_of(owner.astype(np.int64), tag.astype(object), len(movies.ids), counts.to_numpy())
    return FeatureRows(movies.ids, {**movies.columns, Column("tags", Kind.MULTI_CATEGORICAL): tags})


def _extra(path: Path, known: Array, bad: BadRows) -> FeatureRows:
    """`movies_extrainfos.dat`: directors, writers, cast, certificate and plot of most movies."""
    table = read_separated(path, bad, EXTRA_NAMES, "::", "utf-8")
    _check_keys(table, "item")
    refuse_unknown(table, "item", known, "movies.dat")
    people = {
        Column(name, Kind.MULTI_CATEGORICAL): _people(table.text(name)) for name in ("directors", "writers", "cast")
    }
    certificate = Categories.of(_present(table.text("certificate")))
    return FeatureRows(
        row_ids(table, "item"),
        {
            **people,
            Column("certificate", Kind.CATEGORICAL): certificate,
            Column("plot", Kind.TEXT): _present(table.text("plot")),
        },
    )


def _people(texts: Array) -> MultiCategories:
    """Names from lists such as "Joss Whedon (screenplay), Joel Cohen"; each once, without what is in brackets."""
    bare = pd.Series(_present(texts), dtype=str).str.replace(r"\s*\([^)]*\)", "", regex=True)
    return MultiCategories.of([list(dict.fromkeys(n for p in text.split(",") if (n := p.strip()))) for text in bare])


def _present(texts: Array) -> Array:
    """Texts with "" in place of the file's words for a missing value. Shape [n]."""
    return np.where(np.isin(texts.astype(str), ABSENT), "", texts).astype(object)


def _movies(table: RawTable, key: str, genres: MultiCategories) -> FeatureRows:
    """Title, genres and the year that the title ends with: "Heat (1995)", "Death Note (2006–2007)"."""
    titles = table.text("title")
    years = pd.Series(titles, dtype=str).str.extract(r"\((\d{4})(?:[-–]\d{0,4})?\)\s*$", expand=False)
    return FeatureRows(
        row_ids(table, key), {TITLE: titles, GENRES: genres, YEAR: pd.to_numeric(years).to_numpy(np.float64)}
    )


def _person(table: RawTable, occupations: Array) -> dict[Column, ColumnValues]:
    areas = [code[:ZIP_DIGITS] for code in table.text("zip")]
    return {
        GENDER: Categories.of(table.text("gender")),
        OCCUPATION: Categories.of(occupations),
        ZIP_AREA: Categories.of(areas),
    }


def _check_keys(table: RawTable, column: str) -> None:
    table.check_ids(column)
    table.check_unique(column)
