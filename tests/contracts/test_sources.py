"""The contract of every source that `conf/data/` names: it says which files it reads, all of them and no others."""

import shutil
from pathlib import Path

import pytest

from twotower.config.compose import compose, group_files, instantiate, plain
from twotower.data.sources import Source
from twotower.errors import TwoTowerError

TABS = {
    "u.data": "1\t7\t5\t100\n2\t8\t3\t200\n",
    "u.item": f"7|Heat (1995)|1995||url|{'|'.join('0' * 18)}|1\n8|Alien (1979)|1979||url|{'|'.join('0' * 18)}|1\n",
    "u.user": "1|30|F|writer|48067\n2|40|M|doctor|70072\n",
}
COLONS = {
    "ratings.dat": "1::7::5::100\n2::8::3::200\n",
    "movies.dat": "7::Heat (1995)::Crime\n8::Alien (1979)::Horror\n",
    "users.dat": "1::F::1::10::48067\n2::M::56::16::70072\n",
    "movies_extrainfos.dat": "7::Heat::1995::R::1995::Crime::Michael Mann::M M::A P::Thieves.::http\n",
}
TABLES = {
    "ratings.csv": "userId,movieId,rating,timestamp\n1,7,5,100\n2,8,3,200\n",
    "movies.csv": "movieId,title,genres\n7,Heat (1995),Crime\n8,Alien (1979),Horror\n",
}
TAGS = {"tags.csv": "userId,movieId,tag,timestamp\n1,7,tense,150\n"}
LASTFM = {
    "user_artists.dat": "userID\tartistID\tweight\n2\t51\t10\n3\t52\t7\n",
    "artists.dat": "id\tname\turl\n51\tMorcheeba\thttp\n52\tAir\thttp\n",
    "tags.dat": "tagID\ttagValue\n1\tpop\n",
    "user_taggedartists.dat": "userID\tartistID\ttagID\n2\t51\t1\n",
    "user_friends.dat": "userID\tfriendID\n2\t3\n3\t2\n",
}
REVIEWS = '{"reviewerID": "a", "asin": "x", "overall": 5.0, "unixReviewTime": 86400}\n'
NCF = {
    "tiny.train.rating": "0\t1\t5\t100\n0\t2\t3\t200\n1\t2\t2\t100\n",
    "tiny.test.rating": "0\t4\t5\t400\n1\t3\t1\t500\n",
    "tiny.test.negative": "(0,4)\t5\t6\n(1,3)\t6\t7\n",
}
SHOP = {
    "shop.yaml": "interactions: {path: logs/2024/events.csv, user: u, item: i, time: t}\n"
    "items: {path: ../items.csv, id: i, columns: {price: continuous}}\n"
    "users: {path: people/users.csv, id: u, columns: {region: categorical}}\n",
    "logs/2024/events.csv": "u,i,t\na,x,100\nb,y,200\n",
    "../items.csv": "i,price\nx,3\ny,4\n",
    "people/users.csv": "u,region\na,north\nb,south\n",
}
CASES: dict[str, tuple[str, dict[str, str], list[str]]] = {
    "amazon-musical-instruments": ("amazon-musical-instruments-5core", {"Musical_Instruments.json": REVIEWS}, []),
    "lastfm": ("hetrec2011-lastfm-2k", LASTFM, []),
    "lightgcn": ("tiny", {"train.txt": "0 10 11\n1 10\n", "test.txt": "0 12\n1 11\n"}, ["data.source.folder=tiny"]),
    "marketplace": ("", {}, []),
    "ml-100k": ("ml-100k", TABS, []),
    "ml-100k-fold": ("ml-100k", {"ua.base": "1\t7\t5\t100\n", "ua.test": "1\t8\t3\t200\n"}, []),
    "ml-1m": ("ml-1m", COLONS, []),
    **{name: (name, TABLES, []) for name in ("ml-20m", "ml-25m", "ml-32m", "ml-latest-small")},
    "ncf": ("tiny", NCF, ["data.source.folder=tiny", "data.stem=tiny"]),
    "own": ("own", SHOP, ["data.source.path={root}/own/shop.yaml"]),
    "sequences": ("beauty", {"all.txt": "1 5 6\n2 5 7\n"}, ["data.source.path=beauty/all.txt"]),
    "sasrec": ("sasrec", {"ml-1m.txt": "1 5\n1 6\n2 5\n"}, ["data.source.path=sasrec/ml-1m.txt"]),
}
"""Data set to its folder, its files (as small as they can be), and the words that choose it."""
OPTIONS = {
    "ml-25m with tags": ("ml-25m", TABLES | TAGS, ["data.source.tags=true"]),
    "lastfm bare": ("lastfm", {"user_artists.dat": LASTFM["user_artists.dat"]}, ["+data.source.side_features=false"]),
    "ml-1m as published": ("ml-1m", {name: text for name, text in COLONS.items() if "extra" not in name}, []),
}
"""The same data sets under options that change what is read."""
EVERY = {name: (name, *case) for name, case in CASES.items()}
EVERY |= {name: (data, CASES[data][0], *case) for name, (data, *case) in OPTIONS.items()}


@pytest.fixture(params=EVERY)
def case(request, tmp_path, monkeypatch):
    """Name of the data set, its root with all files, the words."""
    data, folder, files, words = EVERY[request.param]
    root = tmp_path / "data"
    for name, text in files.items():
        (root / folder / name).parent.mkdir(parents=True, exist_ok=True)
        (root / folder / name).write_text(text)
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / folder / "README").write_text("Not read by anybody.")
    return data, root, words


def source_in(data: str, root: Path, words: list[str], monkeypatch: pytest.MonkeyPatch) -> Source:
    monkeypatch.setenv("TWOTOWER_DATA", str(root))
    words = [f"data={data}", *(word.format(root=root) for word in words)]
    return instantiate(plain(compose(words))["data"]["source"])


def fingerprint(*case) -> str:
    """Of the data set that is read; that of none where it is refused."""
    try:
        return source_in(*case).load().fingerprint()
    except TwoTowerError as error:
        return f"refused: {error}"


def test_every_listed_data_set_is_examined():
    assert sorted(CASES) == sorted(file.stem for file in group_files("data"))


def test_the_named_files_are_there_each_once(case, monkeypatch):
    files = source_in(*case, monkeypatch).files()
    assert [path for path in files if not path.is_file()] == []
    assert len({path.resolve() for path in files}) == len(files)


def test_a_copy_of_the_named_files_alone_reads_the_same_data_set(case, monkeypatch, tmp_path):
    data, root, words = case
    source = source_in(data, root, words, monkeypatch)
    if not source.files():
        assert not any(path.is_file() and path.name != "README" for path in root.rglob("*"))
        return
    copy = tmp_path / "copy"
    for path in source.files():
        target = copy / path.resolve().relative_to(root.resolve())
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    same = source_in(data, copy, words, monkeypatch)
    assert same.load().fingerprint() == source.load().fingerprint()


def test_without_any_one_of_the_named_files_it_is_refused_or_another_data_set(case, monkeypatch):
    source = source_in(*case, monkeypatch)
    files = source.files()
    whole = source.load().fingerprint() if files else ""
    for path in files:
        aside = path.rename(path.with_name("aside"))
        assert fingerprint(*case, monkeypatch) != whole, path
        aside.rename(path)
