"""Last.fm listening counts of HetRec 2011: 1,892 users, 17,632 artists, 92,834 (user, artist, plays) rows.

Source: Cantador, Brusilovsky, Kuflik (2011), 2nd HetRec workshop at RecSys.
"""

from pathlib import Path

import numpy as np

from twotower.data.dataset import Dataset
from twotower.data.reading.assembly import (
    Events,
    FeatureRows,
    build,
    lists_of,
    number_ids,
    positions,
    row_ids,
    used_ids,
)
from twotower.data.reading.bad_rows import BadRows, OnBadRows
from twotower.data.reading.files import Delimited, read_delimited
from twotower.data.reading.raw_table import RawTable
from twotower.data.tables import Column, Kind, MultiCategories
from twotower.errors import MissingData

URL = "https://files.grouplens.org/datasets/hetrec2011/hetrec2011-lastfm-2k.zip"
TABS = Delimited(delimiter="\t", quoting=False)
PLAYS = "user_artists.dat"
ARTISTS, TAGS, TAGGED, FRIENDS = "artists.dat", "tags.dat", "user_taggedartists.dat", "user_friends.dat"


class LastFM:
    """Reads the release: one event of kind "play" per user and artist, whose value is the number of plays.

    There are no times of plays: every event has time 0, and a user's artists stand in the order of their ids. Only
    splits that ignore time make sense (`RandomSplit`, `UserHeldOut`). The tags of an artist count the users who gave
    them, those included whose play is tested: a weak hint that `side_features=False` takes away.

    Args:
        root: the data folder.
        folder: name of the release's folder in it.
        side_features: read names and tags of artists and the friends of users.
        on_bad_rows: "raise" or "drop" rows that make no sense.
        dropped_to: folder for the side files of dropped rows.
    """

    def __init__(
        self,
        *,
        root: str | Path = "data-cache",
        folder: str = "hetrec2011-lastfm-2k",
        side_features: bool = True,
        on_bad_rows: OnBadRows = "raise",
        dropped_to: str | Path = "data-cache/dropped",
    ) -> None:
        self.folder = Path(root) / folder
        self.side_features = side_features
        self.on_bad_rows: OnBadRows = on_bad_rows
        self.dropped_to = Path(dropped_to)

    def files(self) -> tuple[Path, ...]:
        """The plays and, with side features, artists, tags and friends."""
        names = (PLAYS, *((ARTISTS, TAGS, TAGGED, FRIENDS) if self.side_features else ()))
        return tuple(self.folder / name for name in names)

    def load(self) -> Dataset:
        """The data set.

        Raises:
            MissingData: the files are not in the data folder.
            BadInput: a file is damaged.
        """
        if not self.folder.is_dir():
            raise MissingData(f"{self.folder} is absent; fetch {URL} and unpack its files into that folder")
        with BadRows(self.on_bad_rows, self.dropped_to) as bad:
            plays = _keyed(self.folder / PLAYS, bad, "userID", "artistID", others=("weight",))
            plays.check_numbers("weight", 1)
            users = number_ids(used_ids(plays, "userID"), "user")
            items = number_ids(used_ids(plays, "artistID"), "item")
            return build(
                "lastfm",
                Events(plays, "userID", "artistID", value="weight", kinds=("play",)),
                users=users,
                items=items,
                user_features=_friends(self.folder, used_ids(plays, "userID"), bad) if self.side_features else None,
                item_features=_artists(self.folder, bad) if self.side_features else None,
                title="name" if self.side_features else None,
            )


def _keyed(path: Path, bad: BadRows, *keys: str, others: tuple[str, ...] = ()) -> RawTable:
    """A table whose key columns are checked ids."""
    form = Delimited(delimiter="\t", quoting=False, encoding=_encoding(path))
    table = read_delimited(path, bad, texts=keys, others=others, form=form)
    for key in keys:
        table.check_ids(key)
    return table


def _encoding(path: Path) -> str:
    """The publisher's files are UTF-8 but for the tags, which are latin-1 unless somebody has converted them."""
    try:
        path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return "latin-1"
    except FileNotFoundError as error:
        raise MissingData(f"{path} is absent; fetch {URL} and unpack its files into {path.parent}") from error
    return "utf-8"


def _artists(folder: Path, bad: BadRows) -> FeatureRows:
    """Name and tags of every listed artist."""
    table = _keyed(folder / ARTISTS, bad, "id", others=("name",))
    table.check_unique("id")
    ids = row_ids(table, "id")
    return FeatureRows(
        ids,
        {
            Column("name", Kind.TEXT): table.text("name"),
            Column("tags", Kind.MULTI_CATEGORICAL): _tags(folder, ids, bad),
        },
    )


def _tags(folder: Path, artists: np.ndarray, bad: BadRows) -> MultiCategories:
    """Tags of each artist, weighted by how many users gave them; some tagged artists are not listed, as published."""
    names = _keyed(folder / TAGS, bad, "tagID", others=("tagValue",))
    names.check_unique("tagID")
    taggings = _keyed(folder / TAGGED, bad, "artistID", "tagID")
    artist = positions(taggings, "artistID", artists)
    tag = positions(taggings, "tagID", row_ids(names, "tagID"))
    listed = (artist >= 0) & (tag >= 0)
    pairs, counts = np.unique(artist[listed] * len(names) + tag[listed], return_counts=True)
    return lists_of(pairs // len(names), names.text("tagValue")[pairs % len(names)], len(artists), counts)


def _friends(folder: Path, users: np.ndarray, bad: BadRows) -> FeatureRows:
    """The friends of each user."""
    table = _keyed(folder / FRIENDS, bad, "userID", "friendID")
    user = positions(table, "userID", users)
    known = user >= 0
    friends = lists_of(user[known], row_ids(table, "friendID")[known], len(users))
    return FeatureRows(users, {Column("friends", Kind.MULTI_CATEGORICAL): friends})
