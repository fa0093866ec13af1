"""MovieLens in all three layouts: small written copies for every rule, the published files for the published counts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from twotower.data.sources.movielens import MovieLens
from twotower.data.tables import Kind
from twotower.errors import BadConfig, BadInput, MissingData


@pytest.fixture
def ml_1m(tmp_path):
    """A root with a tiny data set in the 1M layout."""
    files = {
        "ratings.dat": ["2::20::5::978300760", "2::10::3::978300760", "2::30::4::978300700", "10::10::1::978300800"],
        "movies.dat": [
            "10::Star Wars: Episode IV (1977)::Action|Sci-Fi",
            "20::Misérables, Les (1995)::Drama",
            "30::Land Before Time::Animation|Children's",
            "40::Never Rated (2000)::Drama",
        ],
        "users.dat": ["2::F::1::10::48067-1234", "10::M::56::16::70072"],
        "movies_extrainfos.dat": [
            "10::Star Wars::1977::PG::25 May 1977::Action::George Lucas::George Lucas, A B(story)::X, Y::A plot.::http",
            "30::Land::1988::UNRATED::N/A::Action::A X(co-director), B Y::N/A::N/A::N/A::http",
        ],
    }
    folder = tmp_path / "ml-1m"
    folder.mkdir()
    for name, lines in files.items():
        encoding = "utf-8" if "extra" in name else "latin-1"
        (folder / name).write_bytes(("\n".join(lines) + "\n").encode(encoding))
    return tmp_path


@pytest.fixture
def ml_csv(tmp_path):
    """A root with a tiny data set in the CSV layout."""
    files = {
        "ratings.csv": ["userId,movieId,rating,timestamp", "1,3,4.5,1147880044", "1,1,0.5,1147868817"],
        "movies.csv": [
            "movieId,title,genres",
            '1,"American President, The (1995) ",Comedy|Drama',
            "3,Death Note (2006–2007),(no genres listed)",
        ],
        "tags.csv": [
            "userId,movieId,tag,timestamp",
            "1,3,Anime,1147880044",
            "2,3,anime,1147880045",
            "2,3,anime ,1147880046",
            "2,3,dark,1147880047",
        ],
    }
    folder = tmp_path / "ml-25m"
    folder.mkdir()
    for name, lines in files.items():
        (folder / name).write_bytes(("\r\n".join(lines) + "\r\n").encode())
    return tmp_path


def spoil(root: Path, name: str, line: str, folder: str = "ml-1m") -> None:
    with (root / folder / name).open("a", encoding="latin-1") as file:
        file.write(line + "\n")


def test_events_are_ordered_by_time_and_ties_keep_the_files_order(ml_1m):
    dataset = MovieLens(root=ml_1m).load()
    assert dataset.user_ids.external.tolist() == [2, 10]  # numbers, not text: "10" would come before "2"
    assert dataset.item_ids.external.tolist() == [10, 20, 30]
    of_user_2 = dataset.interactions.by_user()[0]
    assert dataset.item_ids.to_external(of_user_2).tolist() == [30, 20, 10]  # 20 and 10 share a second
    assert dataset.interactions.value.tolist() == [4, 5, 3, 1]
    assert dataset.interactions.kinds == ("rating",)


def test_movies_without_ratings_are_left_out_unless_asked_for(ml_1m):
    assert MovieLens(root=ml_1m).load().n_items == 3
    assert MovieLens(root=ml_1m, only_rated=False).load().n_items == 4


def test_movies_of_1m_have_genres_year_people_certificate_and_plot(ml_1m):
    dataset = MovieLens(root=ml_1m).load()
    assert dataset.title == "title"
    star_wars, miserables, land = (dataset.items.describe(row) for row in range(3))
    assert star_wars == {
        "title": "Star Wars: Episode IV (1977)", "genres": ["Action", "Sci-Fi"], "year": 1977, "certificate": "PG",
        "directors": ["George Lucas"], "writers": ["George Lucas", "A B"], "cast": ["X", "Y"],
        "plot": "A plot.",
    }  # fmt: skip
    assert miserables == {"title": "Misérables, Les (1995)", "genres": ["Drama"], "year": 1995}  # no extra row
    assert land == {
        "title": "Land Before Time",
        "genres": ["Animation", "Children's"],
        "directors": ["A X", "B Y"],
    }  # no year in the title; N/A and UNRATED are missing


def test_users_of_1m_have_age_band_gender_occupation_and_the_first_zip_digits(ml_1m):
    users = MovieLens(root=ml_1m).load().users
    assert users.describe(0) == {"age": "under 18", "gender": "F", "occupation": "K-12 student", "zip_area": "48"}
    assert users.describe(1) == {
        "age": "56 and over", "gender": "M", "occupation": "self-employed", "zip_area": "70",
    }  # fmt: skip
    assert users.schema["age"].kind is Kind.CATEGORICAL


def test_without_the_extra_file_the_other_features_stay(ml_1m):
    (ml_1m / "ml-1m" / "movies_extrainfos.dat").unlink()
    assert MovieLens(root=ml_1m).load().items.schema.names == ("title", "genres", "year")


def test_side_features_can_be_left_out(ml_1m):
    dataset = MovieLens(root=ml_1m, side_features=False).load()
    assert dataset.items.schema.names == dataset.users.schema.names == ()


def test_the_csv_layout_gives_half_stars_years_and_empty_genres(ml_csv):
    dataset = MovieLens(variant="ml-25m", root=ml_csv).load()
    assert dataset.interactions.value.tolist() == [0.5, 4.5]
    assert dataset.items.describe(0) == {
        "title": "American President, The (1995) ", "genres": ["Comedy", "Drama"], "year": 1995,
    }  # fmt: skip
    assert dataset.items.describe(1) == {"title": "Death Note (2006–2007)", "year": 2006}
    assert dataset.users.schema.names == ()


def test_tags_are_off_by_default_and_count_the_users_who_gave_them(ml_csv):
    assert "tags" not in MovieLens(variant="ml-25m", root=ml_csv).load().items.schema.names
    tags = MovieLens(variant="ml-25m", root=ml_csv, tags=True).load().items["tags"]
    assert [tags.values[c] for c in tags.codes[1]] == ["anime", "dark"]
    assert tags.weights.tolist() == [2, 1]  # users 1 and 2 wrote anime, user 2 twice; user 2 wrote dark
    assert len(tags.codes[0]) == 0


@pytest.mark.parametrize(
    "file, line, says",
    [
        ("ratings.dat", "2::99::5::978300760", "ratings.dat: row 5: item '99' is not listed in the movies file"),
        ("ratings.dat", "77::10::5::978300760", "ratings.dat: row 5: user '77' is not listed in the users file"),
        ("ratings.dat", "2::10::6::978300760", "ratings.dat: row 5: rating '6' is outside 1..5"),
        ("ratings.dat", "2::10::five::978300760", "ratings.dat: row 5: rating 'five' is not a finite number"),
        ("ratings.dat", "2::10::5", "ratings.dat: row 5: 5 values where 7 columns are expected"),
        ("movies.dat", "10::Again (1999)::Drama", "movies.dat: row 5: item '10' stands twice"),
        ("movies.dat", "50::No genres (1999)", "movies.dat: row 5: 2 values where 3 columns are expected"),
        ("users.dat", "2::F::1::10::48067", "users.dat: row 3: user '2' stands twice"),
        ("users.dat", "3::F::2::10::48067", "users.dat: row 3: age '2' is no age band"),
        ("users.dat", "3::F::1::21::48067", "users.dat: row 3: occupation '21' is outside 0..20"),
        ("movies_extrainfos.dat", "99" + "::x" * 10, "movies_extrainfos.dat: row 3: item '99' is not listed in movies"),
    ],
)
def test_a_damaged_row_is_refused_by_file_row_and_value_or_dropped(ml_1m, tmp_path, file, line, says):
    sound = MovieLens(root=ml_1m).load().fingerprint()
    spoil(ml_1m, file, line)
    with pytest.raises(BadInput) as error:
        MovieLens(root=ml_1m).load()
    assert says in str(error.value)
    dropped = MovieLens(root=ml_1m, on_bad_rows="drop", dropped_to=tmp_path / "aside").load()
    assert dropped.fingerprint() == sound
    assert (tmp_path / "aside" / f"{file}.dropped.csv").read_text().count("\n") == 2  # header and the one row


def test_milliseconds_are_refused(ml_1m):
    (ml_1m / "ml-1m" / "ratings.dat").write_text("2::20::5::978300760000\n")
    with pytest.raises(BadInput, match="looks like ms"):
        MovieLens(root=ml_1m).load()


def test_a_missing_file_of_a_folder_is_named(ml_1m):
    (ml_1m / "ml-1m" / "movies.dat").unlink()
    with pytest.raises(MissingData, match=r"movies\.dat: no such file"):
        MovieLens(root=ml_1m).load()


def test_an_unknown_variant_is_refused_with_the_known_ones():
    with pytest.raises(BadConfig, match="choose one of ml-100k, ml-1m"):
        MovieLens(variant="ml-2m")
    with pytest.raises(BadConfig, match="ml-1m has no tags"):
        MovieLens(variant="ml-1m", tags=True)


@pytest.mark.data
@pytest.mark.parametrize(
    "variant, users, items, listed, ratings, mean",
    [
        ("ml-100k", 943, 1_682, 1_682, 100_000, 3.5299),
        ("ml-latest-small", 610, 9_724, 9_742, 100_836, 3.5016),
        ("ml-1m", 6_040, 3_706, 3_883, 1_000_209, 3.5816),
    ],
)
def test_the_published_counts_and_means_are_found(data_root, variant, users, items, listed, ratings, mean):
    dataset = MovieLens(variant=variant, root=data_root).load()
    assert (dataset.n_users, dataset.n_items, len(dataset.interactions)) == (users, items, ratings)
    assert dataset.interactions.value.mean(dtype=np.float64) == pytest.approx(mean, abs=5e-5)
    assert MovieLens(variant=variant, root=data_root, only_rated=False).load().n_items == listed


@pytest.mark.data
def test_ml_1m_keeps_the_order_of_the_file_within_each_second(data_root):
    text = (data_root / "ml-1m" / "ratings.dat").read_text()
    rows = pd.DataFrame(np.array(text.replace("::", " ").split(), np.int64).reshape(-1, 4), columns=list("uirt"))
    rows = rows.sort_values("t", kind="stable").sort_values("u", kind="stable")  # oracle: two stable sorts
    dataset = MovieLens(root=data_root, side_features=False).load()
    events = dataset.interactions
    assert np.array_equal(dataset.user_ids.to_external(events.user), rows["u"])
    assert np.array_equal(dataset.item_ids.to_external(events.item), rows["i"])
    assert np.array_equal(events.time, rows["t"])


@pytest.mark.data
def test_ml_100k_has_age_in_years_and_ml_1m_the_extra_columns(data_root):
    young = MovieLens(variant="ml-100k", root=data_root).load()
    assert young.users.describe(0) == {"age": 24.0, "gender": "M", "occupation": "technician", "zip_area": "85"}
    assert young.items.describe(0) == {
        "title": "Toy Story (1995)", "genres": ["Animation", "Children's", "Comedy"], "year": 1995,
    }  # fmt: skip
    movies = MovieLens(root=data_root).load().items
    assert {"directors", "writers", "cast", "certificate", "plot"} <= set(movies.schema.names)
    assert movies.describe(0)["cast"] == ["Tom Hanks", "Tim Allen", "Don Rickles", "Jim Varney"]
