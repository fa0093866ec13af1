"""Published splits: each layout by hand, every damaged line named, leaks reported, the publisher's parts kept."""

import logging

import numpy as np
import pytest

from twotower.data.sources.movielens import MovieLens
from twotower.data.sources.published import AdjacencyLists, OrderedLists, OrderedPairs, RatingPairs, read_negatives
from twotower.data.splitters import LeaveLast, Published
from twotower.errors import BadConfig, BadInput, LeakError, MissingData

ADJACENCY = {"train.txt": "0 10 11 12\n1 10 13\n2 11 10 12 13 14\n", "test.txt": "0 13\n1 \n2 15\n"}
NCF = {
    "ml.train.rating": "0\t1\t5\t100\n0\t2\t3\t200\n0\t3\t4\t300\n1\t2\t2.5\t100\n1\t1\t4\t150\n",
    "ml.test.rating": "0\t4\t5\t400\n1\t3\t1\t500\n",
    "ml.test.negative": "(0,4)\t5\t6\n(1,3)\t6\t7\n",
}


@pytest.fixture
def folder(tmp_path):
    """Writes files into the folder `given` and returns the data root."""

    def write(files: dict[str, str]):
        (tmp_path / "given").mkdir(exist_ok=True)
        for name, text in files.items():
            (tmp_path / "given" / name).write_text(text)
        return tmp_path

    return write


def lightgcn(root, **options):
    return AdjacencyLists(root=root, folder="given", **options)


def ncf(root, **options):
    return RatingPairs(root=root, folder="given", train="ml.train.rating", test="ml.test.rating", **options)


def external(data, events):
    """(user, item) pairs in the publisher's ids, in the order of the events."""
    return list(
        zip(data.user_ids.external[events.user].tolist(), data.item_ids.external[events.item].tolist(), strict=True)
    )


def test_adjacency_lists_become_train_and_test_events_in_the_order_of_the_lines(folder):
    data = lightgcn(folder(ADJACENCY)).load()
    events, kinds = data.interactions, data.interactions.kinds
    train, test = (events.where(events.kind == kinds.index(part)) for part in ("train", "test"))
    assert external(data, train) == [
        (0, 10), (0, 11), (0, 12), (1, 10), (1, 13), (2, 11), (2, 10), (2, 12), (2, 13), (2, 14),
    ]  # fmt: skip
    assert external(data, test) == [(0, 13), (2, 15)]
    assert (data.name, data.n_users, data.n_items) == ("given", 3, 6)


def test_rated_pairs_keep_rating_time_and_the_items_that_only_negatives_name(folder):
    data = ncf(folder(NCF), negatives="ml.test.negative").load()
    assert data.interactions.value.tolist() == [5, 3, 4, 5, 2.5, 4, 1]
    assert data.interactions.time.tolist() == [100, 200, 300, 400, 100, 150, 500]
    assert data.item_ids.external.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert ncf(folder(NCF)).load().item_ids.external.tolist() == [1, 2, 3, 4]


def test_ordered_pairs_keep_the_order_of_the_lines_and_leave_last_cuts_it(folder):
    root = folder({"ml.txt": "1 3\n1 1\n2 5\n1 9\n1 2\n2 1\n2 4\n"})
    data = OrderedPairs(root=root, path="given/ml.txt").load()
    assert external(data, data.interactions) == [(1, 3), (1, 1), (1, 9), (1, 2), (2, 5), (2, 1), (2, 4)]
    split = LeaveLast(n=1).split(data)
    assert external(data, split.test.target) == [(1, 2), (2, 4)]
    assert external(data, split.validation.target) == [(1, 9), (2, 1)]


def test_the_publishers_test_is_the_test_and_validation_comes_out_of_train(folder):
    data = lightgcn(folder(ADJACENCY)).load()
    split = Published(validation=0.2).split(data)
    assert external(data, split.test.target) == [(0, 13), (2, 15)]
    assert len(split.validation.target) == 2  # a fifth of ten pairs
    learnt = split.refit().train
    assert len(learnt) == 10
    assert not split.train.has_pairs_of(split.validation.target).any()


def test_the_last_item_of_each_user_may_be_validation(folder):
    data = ncf(folder(NCF)).load()
    split = Published(validation="last").split(data)
    assert external(data, split.validation.target) == [(0, 3), (1, 1)]
    assert external(data, split.train) == [(0, 1), (0, 2), (1, 2)]


def test_the_publishers_negatives_are_the_candidates(folder):
    root = folder(NCF)
    data = ncf(root, negatives="ml.test.negative").load()
    split = Published(validation="last", negatives=root / "given" / "ml.test.negative").split(data)
    rows = [data.item_ids.external[row].tolist() for row in split.test.candidates]
    assert rows == [[4, 5, 6], [3, 6, 7]]
    assert split.test.competitors == split.validation.competitors == "sampled, 2 negatives"
    assert split.name == "published(validation=last, seed=0, negatives=ml.test.negative)"


def test_negatives_of_another_test_are_refused(folder):
    root = folder({**NCF, "ml.test.negative": "(0,3)\t5\n(1,3)\t6\n"})
    data = ncf(root, negatives="ml.test.negative").load()
    with pytest.raises(BadInput, match=r"no line for the test pair \(0,4\)"):
        Published(validation="last", negatives=root / "given" / "ml.test.negative").split(data)


@pytest.mark.parametrize(
    ("source", "files", "line", "pair"),
    [
        (lightgcn, {**ADJACENCY, "test.txt": "0 13\n2 15 14\n"}, 2, "user 2, item 14"),
        (ncf, {**NCF, "ml.test.rating": "0\t4\t5\t400\n1\t2\t1\t500\n"}, 2, "user 1, item 2"),
    ],
)
def test_a_test_pair_that_is_also_in_train_is_reported_or_dropped_with_a_count(
    folder, caplog, source, files, line, pair
):
    root = folder(files)
    with pytest.raises(LeakError, match=rf"line {line}: test pair \({pair}\) also stands in .*train.* \(1 of \d test"):
        source(root).load()
    with caplog.at_level(logging.WARNING):
        data = source(root, on_leak="drop").load()
    assert f"({pair})" in caplog.text
    whole = sum(len(text.split()) for text in files.values())
    assert len(data.interactions) < whole
    assert len(Published(validation=0.2).split(data).test.target) >= 1
    with pytest.raises(BadConfig, match="on_leak='ignore': choose raise or drop"):
        source(root, on_leak="ignore")


@pytest.mark.parametrize(
    ("source", "name", "text", "message"),
    [
        (lightgcn, "train.txt", "0 1 2\n1 2 x7\n", "line 2: 'x7' is no whole number from 0"),
        (lightgcn, "train.txt", "0 1 -2\n", "line 1: '-2' is no whole number from 0"),
        (lightgcn, "train.txt", "0 1\n1 1\n0 2\n", "line 3: user 0 stands on line 1 too"),
        (lightgcn, "train.txt", "0 1.5\n", "line 1: '1.5' is no whole number"),
        (ncf, "ml.train.rating", "0\t1\t5\t100\n0\t2\t5\n", "line 2: 3 values instead of 4"),
        (ncf, "ml.train.rating", "0\t1\tgood\t100\n", "line 1: rating 'good' is no number"),
        (ncf, "ml.train.rating", "0\t1\tnan\t100\n", "line 1: rating 'nan' is no number"),
        (ncf, "ml.test.rating", "a\t1\t5\t100\n", "line 1: 'a' is no whole number from 0; a line is user, item"),
    ],
)
def test_a_damaged_line_is_named_with_its_value_and_a_remedy(folder, source, name, text, message):
    files = ADJACENCY if source is lightgcn else NCF
    root = folder({**files, name: text})
    with pytest.raises(BadInput, match=message) as error:
        source(root).load()
    assert str(root / "given" / name) in str(error.value)
    assert ";" in str(error.value)


def test_ids_from_zero_are_no_sasrec_file_and_a_broken_negative_line_is_named(folder):
    root = folder({"pairs.txt": "1 1\n0 2\n", "n": "(0,4)\t5\n0,4\t7\n", "m": "(0,4)\t5\tsix\n"})
    with pytest.raises(BadInput, match="line 2: '0' is no whole number from 1"):
        OrderedPairs(root=root, path="given/pairs.txt").load()
    with pytest.raises(BadInput, match=r"line 2: '0,4' is no \(user,item\)"):
        read_negatives(root / "given" / "n")
    with pytest.raises(BadInput, match="line 1: 'six' is no whole number"):
        read_negatives(root / "given" / "m")


def test_files_that_are_absent_or_empty_are_named(folder):
    with pytest.raises(MissingData, match=r"test\.txt: no such file"):
        lightgcn(folder({"train.txt": "0 1\n"})).load()
    with pytest.raises(BadInput, match=r"test\.txt: the file is empty"):
        lightgcn(folder({"test.txt": ""})).load()


def test_the_published_protocol_of_other_data_is_refused(folder):
    data = OrderedPairs(root=folder({"p.txt": "1 1\n1 2\n"}), path="given/p.txt").load()
    with pytest.raises(BadInput, match="not marked train and test but event; choose another protocol"):
        Published().split(data)
    for wrong, message in (("first", "give a share or last"), (1.5, "must lie between 0 and 1")):
        with pytest.raises(BadConfig, match=message):
            Published(validation=wrong)


@pytest.mark.data
@pytest.mark.parametrize(("fold", "n_test"), [("ua", 9_430), ("u1", 20_000)])
def test_the_published_folds_of_movielens_100k_are_read_as_they_are(data_root, fold, n_test):
    source = RatingPairs(root=data_root, folder="ml-100k", train=f"{fold}.base", test=f"{fold}.test")
    split = Published(validation=0.1).split(source.load())
    assert len(split.test.target) == n_test
    assert len(split.refit().train) + n_test == 100_000


@pytest.mark.data
def test_movielens_written_in_sasrecs_layout_is_cut_as_from_its_source(data_root, tmp_path):
    data = MovieLens(variant="ml-100k", root=data_root).load()
    events = data.interactions
    np.savetxt(tmp_path / "ml.txt", np.column_stack([events.user + 1, events.item + 1]), fmt="%d")
    ours = LeaveLast(n=1).split(OrderedPairs(root=tmp_path, path="ml.txt").load()).test.target
    theirs = LeaveLast(n=1).split(data).test.target
    assert ours.user.tolist() == theirs.user.tolist()
    read = OrderedPairs(root=tmp_path, path="ml.txt").load().item_ids.external
    assert (read[ours.item] - 1).tolist() == theirs.item.tolist()


def test_ordered_lists_keep_the_order_of_each_line_and_leave_last_cuts_it(folder):
    root = folder({"all.txt": "7 30 10 20\n\n3 10 10 50 40\n"})
    data = OrderedLists(root=root, path="given/all.txt").load()
    assert external(data, data.interactions) == [(3, 10), (3, 10), (3, 50), (3, 40), (7, 30), (7, 10), (7, 20)]
    assert external(data, LeaveLast(n=1).split(data).test.target) == [(3, 40), (7, 20)]


@pytest.mark.parametrize(("text", "says"), [("7 30\n7 10\n", "stands on line 1 too"), ("7 x\n", "'x' is no whole")])
def test_ordered_lists_name_the_line_that_cannot_be_read(folder, text, says):
    with pytest.raises(BadInput, match=rf"all\.txt: line \d: .*{says}"):
        OrderedLists(root=folder({"all.txt": text}), path="given/all.txt").load()


def test_a_target_among_its_own_negatives_is_listed_once_as_in_the_authors_code(folder):
    root = folder({**NCF, "ml.test.negative": "(0,4)\t5\t4\t6\n(1,3)\t6\t7\t5\n"})
    data = ncf(root, negatives="ml.test.negative").load()
    test = Published(negatives=root / "given" / "ml.test.negative").split(data).test
    listed = [data.item_ids.external[row].tolist() for row in test.candidates]
    assert listed == [[4, 5, 6], [3, 6, 7, 5]]
