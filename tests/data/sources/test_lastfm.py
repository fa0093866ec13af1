"""Last.fm: play counts without times, tags of artists, friends of users."""

import pytest

from twotower.data.sources.lastfm import LastFM
from twotower.data.splitters import RandomSplit
from twotower.errors import BadInput, MissingData

FILES = {
    "user_artists.dat": ["userID\tartistID\tweight", "2\t52\t11690", "2\t51\t13883", "10\t51\t3"],
    "artists.dat": ["id\tname\turl\tpictureURL", '51\tDuran "Duran"\thttp\thttp', "52\tMorcheeba\thttp\thttp"],
    "tags.dat": ["tagID\ttagValue", "1\tpop", "2\tfrançais"],
    "user_taggedartists.dat": [
        "userID\tartistID\ttagID\tday\tmonth\tyear",
        "2\t51\t2\t1\t4\t2009",
        "2\t51\t1\t1\t4\t2009",
        "10\t51\t1\t1\t4\t2009",
        "10\t99\t1\t1\t4\t2009",  # an artist that is not listed, as the publisher has it
    ],
    "user_friends.dat": ["userID\tfriendID", "2\t10", "10\t2"],
}


@pytest.fixture
def root(tmp_path):
    """A root with a tiny data set; the tags file is latin-1, as published."""
    folder = tmp_path / "hetrec2011-lastfm-2k"
    folder.mkdir()
    for name, lines in FILES.items():
        (folder / name).write_bytes(("\r\n".join(lines) + "\r\n").encode("latin-1" if name == "tags.dat" else "utf-8"))
    return tmp_path


def test_plays_are_values_and_the_unknown_order_is_that_of_ids(root):
    dataset = LastFM(root=root).load()
    assert dataset.interactions.kinds == ("play",)
    assert dataset.interactions.item.tolist() == [0, 1, 0]
    assert dataset.interactions.value.tolist() == [13883, 11690, 3]
    assert dataset.interactions.time.tolist() == [0, 0, 0]


def test_tags_count_the_users_who_gave_them(root):
    tags = LastFM(root=root).load().items["tags"]
    assert [tags.values[c] for c in tags.codes[0]] == ["pop", "français"]
    assert tags.weights.tolist() == [2, 1]
    assert len(tags.codes[1]) == 0


def test_artists_have_names_and_users_friends(root):
    dataset = LastFM(root=root).load()
    assert dataset.title == "name"
    assert dataset.items.describe(0)["name"] == 'Duran "Duran"'
    assert dataset.users.describe(0) == {"friends": ["10"]}


def test_a_play_count_of_zero_is_refused(root):
    path = root / "hetrec2011-lastfm-2k" / "user_artists.dat"
    path.write_text(path.read_text() + "10\t52\t0\n")
    with pytest.raises(BadInput, match=r"row 4: weight '0' is outside 1\.\.inf"):
        LastFM(root=root).load()


def test_absent_files_are_named_with_their_address(tmp_path, root):
    with pytest.raises(MissingData, match=r"fetch https://files\.grouplens\.org/.*zip and unpack"):
        LastFM(root=tmp_path / "nowhere").load()
    (root / "hetrec2011-lastfm-2k" / "tags.dat").unlink()
    with pytest.raises(MissingData, match=r"tags\.dat is absent; fetch"):
        LastFM(root=root).load()


@pytest.mark.data
def test_the_published_counts_are_found_and_a_random_split_works(data_root):
    dataset = LastFM(root=data_root).load()
    assert (dataset.n_users, dataset.n_items, len(dataset.interactions)) == (1_892, 17_632, 92_834)
    assert dataset.interactions.value.max() == 352_698
    assert len(RandomSplit().split(dataset).test.users()) > 1_500
