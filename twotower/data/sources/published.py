"""Splits that papers published as files: adjacency lists (LightGCN), rated pairs (NCF), ordered pairs (SASRec).

The part that a publisher put an event into becomes its kind, "train" or "test"; `splits.Published` cuts by it.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from twotower.data.dataset import Dataset
from twotower.data.ids import IdMap
from twotower.data.interactions import Interactions
from twotower.data.reading.file_checks import check_file, text_lines
from twotower.data.tables import FeatureTable
from twotower.errors import BadConfig, BadInput, LeakError
from twotower.types import Array, Ids, Ragged

TRAIN, TEST, EVENT = "train", "test", "event"
"""Kinds of events: the publisher's parts, and that of a file without parts."""
OnLeak = Literal["raise", "drop"]
_PAIR = re.compile(r"\(\s*(\d+)\s*,\s*(\d+)\s*\)")

log = logging.getLogger(__name__)


class AdjacencyLists:
    """LightGCN's layout: `train.txt` and `test.txt`, one line a user: the user, then the items, separated by spaces.

    There are no times: every event has time 0. A user without items in a file may stand there alone.

    Args:
        root: the data folder.
        folder: the release's folder in it, e.g. "gowalla".
        train: name of the file to learn from.
        test: name of the file to foresee.
        on_leak: test pairs that also stand in train: "raise", or "drop" them from the test and say how many.

    Source: He et al., LightGCN, SIGIR 2020 (the files go back to NGCF, SIGIR 2019).
    """

    def __init__(
        self,
        *,
        root: str | Path = "data-cache",
        folder: str,
        train: str = "train.txt",
        test: str = "test.txt",
        on_leak: OnLeak = "raise",
    ) -> None:
        self.folder = Path(root) / folder
        self.train, self.test = self.folder / train, self.folder / test
        self.on_leak = _checked(on_leak)

    def files(self) -> tuple[Path, ...]:
        """The two parts."""
        return (self.train, self.test)

    def load(self) -> Dataset:
        """The data set; events have the kinds "train" and "test".

        Raises:
            MissingData: a file is not there.
            BadInput: a line cannot be read, or a user stands twice in a file.
            LeakError: a test pair is in train.
        """
        train, test = (_adjacency(path) for path in (self.train, self.test))
        return _dataset(
            self.folder.name, train, _without_leaks(train, test, self.on_leak, paths=(self.train, self.test))
        )


class RatingPairs:
    """NCF's layout, and that of the MovieLens 100K folds: two files of `user TAB item TAB rating TAB seconds`.

    Args:
        root: the data folder.
        folder: the release's folder in it.
        train: name of the file to learn from, e.g. "ml-1m.train.rating" or "ua.base".
        test: name of the file to foresee, e.g. "ml-1m.test.rating" or "ua.test".
        negatives: name of the file of sampled negatives, whose items join the catalogue; None where there is none.
        on_leak: test pairs that also stand in train: "raise", or "drop" them from the test and say how many.

    Source: He et al., Neural Collaborative Filtering, WWW 2017.
    """

    def __init__(
        self,
        *,
        root: str | Path = "data-cache",
        folder: str,
        train: str,
        test: str,
        negatives: str | None = None,
        on_leak: OnLeak = "raise",
    ) -> None:
        self.folder = Path(root) / folder
        self.train, self.test = self.folder / train, self.folder / test
        self.negatives = None if negatives is None else self.folder / negatives
        self.on_leak = _checked(on_leak)

    def files(self) -> tuple[Path, ...]:
        """The two parts and the sampled negatives, if there are any."""
        return (self.train, self.test, *(() if self.negatives is None else (self.negatives,)))

    def load(self) -> Dataset:
        """The data set; events have the kinds "train" and "test", ratings as values.

        Raises:
            MissingData: a file is not there.
            BadInput: a line cannot be read.
            LeakError: a test pair is in train.
        """
        train, test = (_ratings(path) for path in (self.train, self.test))
        more = np.empty(0, np.int64) if self.negatives is None else read_negatives(self.negatives)[1].values
        return _dataset(
            self.folder.name, train, _without_leaks(train, test, self.on_leak, paths=(self.train, self.test)), more
        )


class OrderedPairs:
    """SASRec's layout: one file of `user item` lines, ids from 1, each user's lines in the order of time.

    The times themselves are not published: every event has time 0, and the order of the lines is kept. `LeaveLast(n=1)`
    is the paper's cut, without the repeats that its own reading would make targets.

    Args:
        root: the data folder.
        path: the file in it, e.g. "sasrec/ml-1m.txt".

    Source: Kang and McAuley, Self-Attentive Sequential Recommendation, ICDM 2018.
    """

    def __init__(self, *, root: str | Path = "data-cache", path: str) -> None:
        self.path = Path(root) / path

    def files(self) -> tuple[Path, ...]:
        """The file of pairs."""
        return (self.path,)

    def load(self) -> Dataset:
        """The data set.

        Raises:
            MissingData: the file is not there.
            BadInput: a line cannot be read, or an id is 0.
        """
        rows = _table(self.path, columns=2, remedy="SASRec's lines are `user item`, ids from 1", least=1)
        return _dataset(self.path.stem, rows, rows[:0])


class OrderedLists:
    """The layout of sequence papers (P5, S3-Rec, TIGER): one file, a line a user: the user, then the items by time.

    Every event has time 0; order and repeats are kept. `LeaveLast` is these papers' cut. Arguments as `OrderedPairs`.

    Source: Zhou et al., S3-Rec, CIKM 2020; Geng et al., Recommendation as Language Processing, RecSys 2022.
    """

    def __init__(self, *, root: str | Path = "data-cache", path: str) -> None:
        self.path = Path(root) / path

    def files(self) -> tuple[Path, ...]:
        """The file of lists."""
        return (self.path,)

    def load(self) -> Dataset:
        """The data set.

        Raises:
            MissingData: the file is not there.
            BadInput: a line cannot be read, or a user stands twice.
        """
        rows = _adjacency(self.path)
        return _dataset(self.path.stem, rows, rows[:0])


def read_negatives(path: Path) -> tuple[Ids, Ragged]:
    """NCF's `.test.negative`: lines of `(user,item)`, then the sampled items, separated by tabs.

    Returns:
        User and test item of every line, external ids. Shape [n, 2].
        The items sampled for it, external ids. n rows.

    Raises:
        MissingData: the file is not there.
        BadInput: a line cannot be read.
    """
    pairs, rows = [], []
    for number, words in _lines(path):
        pair = _PAIR.fullmatch(words[0])
        if pair is None:
            raise BadInput(f"{path}: line {number}: {words[0]!r} is no (user,item); write e.g. (0,25) before the items")
        pairs.append([int(pair[1]), int(pair[2])])
        rows.append(_whole(path, number, words[1:], 0, "after (user,item) come item numbers, separated by tabs"))
    return np.asarray(pairs, np.int64).reshape(-1, 2), Ragged.from_lists(rows)


def _adjacency(path: Path) -> Array:
    """Columns user, item, rating 1, time 0, line. Shape [E, 5]."""
    parts, line_of = [np.empty((0, 5), np.int64)], dict[int, int]()
    for number, words in _lines(path):
        user, *items = _whole(path, number, words, 0, "a line is a user and the user's items, whole numbers from 0")
        if user in line_of:
            raise BadInput(f"{path}: line {number}: user {user} stands on line {line_of[user]} too; join the two lines")
        line_of[user] = number
        constant = np.tile(np.array([user, 0, 1, 0, number]), (len(items), 1))
        constant[:, 1] = items
        parts.append(constant)
    return np.concatenate(parts)


def _ratings(path: Path) -> Array:
    """Columns user, item, rating, time, line. Shape [E, 5]."""
    return _table(path, columns=4, remedy="a line is user, item, rating and seconds, separated by tabs", least=0)


def _table(path: Path, *, columns: int, remedy: str, least: int) -> Array:
    """Columns user, item, rating (1 if not given), time (0 if not given), line. Shape [E, 5]."""
    rows = []
    for number, words in _lines(path):
        if len(words) != columns:
            raise BadInput(f"{path}: line {number}: {len(words)} values instead of {columns}; {remedy}")
        user, item = _whole(path, number, words[:2], least, remedy)
        rating = 1.0 if columns == 2 else _rating(path, number, words[2])
        time = 0 if columns == 2 else _whole(path, number, words[3:], 0, remedy)[0]
        rows.append((user, item, rating, time, number))
    return np.asarray(rows, np.float64).reshape(-1, 5)  # whole numbers up to 2^53 stay exact


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number and words of every line that is not empty."""
    check_file(path, "utf-8")
    for number, line in enumerate(text_lines(path, "utf-8"), start=1):
        if words := line.split():
            yield number, words


def _whole(path: Path, line: int, words: Sequence[str], least: int, remedy: str) -> list[int]:
    for word in words:
        if not (word.isascii() and word.isdecimal() and int(word) >= least and len(word) <= 15):
            raise BadInput(f"{path}: line {line}: {word!r} is no whole number from {least}; {remedy}")
    return [int(word) for word in words]


def _rating(path: Path, line: int, word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise BadInput(f"{path}: line {line}: rating {word!r} is no number; write e.g. 4 or 3.5")
    return value


def _without_leaks(train: Array, test: Array, on_leak: OnLeak, *, paths: tuple[Path, Path]) -> Array:
    """The test rows that do not repeat a training pair.

    Raises:
        LeakError: there are some that do, and they are not to be dropped.
    """
    known = {(user, item) for user, item in train[:, :2].astype(np.int64).tolist()}
    leaked = np.array([(u, i) in known for u, i in test[:, :2].astype(np.int64).tolist()], np.bool_)
    if not leaked.any():
        return test
    user, item, line = test[leaked.argmax(), [0, 1, 4]].astype(np.int64).tolist()
    leak = (
        f"{paths[1]}: line {line}: test pair (user {user}, item {item}) also stands in {paths[0].name} "
        f"({leaked.sum():,} of {len(test):,} test pairs do)"
    )
    if on_leak == "raise":
        raise LeakError(f"{leak}; take the publisher's corrected files, or leave such pairs out with on_leak=drop")
    log.warning("%s; they are left out of the test", leak)
    return test[~leaked]


def _dataset(name: str, train: Array, test: Array, more_items: Ids | None = None) -> Dataset:
    """Events of both parts in file order; the catalogue holds every item that a file names."""
    rows = np.concatenate([train, test])
    if not len(train):
        raise BadInput(f"{name}: the training file names no event; give another file")
    ids = rows[:, :2].astype(np.int64)
    extra = np.empty(0, np.int64) if more_items is None else more_items
    users, items = IdMap.of(np.unique(ids[:, 0]), "user"), IdMap.of(np.unique(np.append(ids[:, 1], extra)), "item")
    events = Interactions.of(
        users.to_internal(ids[:, 0]), items.to_internal(ids[:, 1]), rows[:, 3].astype(np.int64),
        kind=np.repeat([0, 1], [len(train), len(test)]), value=rows[:, 2],
        kinds=(TRAIN, TEST) if len(test) else (EVENT,), n_users=len(users), n_items=len(items),
    )  # fmt: skip
    return Dataset(name, events, FeatureTable.empty(len(users)), FeatureTable.empty(len(items)), users, items)


def _checked(on_leak: OnLeak) -> OnLeak:
    if on_leak not in ("raise", "drop"):
        raise BadConfig(f"on_leak={on_leak!r}: choose raise or drop")
    return on_leak
