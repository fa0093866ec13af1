"""Codes are the nearest words, part by part; what is asked and what is found are products and distances to words."""

import numpy as np
import pytest

from twotower.ann.cells import Cells
from twotower.ann.lopq.product_codes import UNWRITTEN, LocalWords, SharedWords, parts_of
from twotower.types import NO_ITEM, Ragged

PARTS, SIZE, N = 4, 3, 50


@pytest.fixture
def rng():
    return np.random.default_rng(8)


@pytest.fixture
def rotated(rng):
    return rng.normal(size=(N, PARTS * SIZE)).astype(np.float32)


@pytest.fixture
def shared(rng):
    return SharedWords(rng.normal(size=(PARTS, 256, SIZE)).astype(np.float32), "inner_product")


@pytest.fixture
def local(rng):
    words = rng.integers(-127, 128, (2, SIZE, PARTS, 16)).astype(np.int8)
    return LocalWords(words, np.array([0.01, 0.02], np.float32), "inner_product")


@pytest.fixture
def cells():
    return Cells(np.zeros((2, 1), np.float32), Ragged.from_lists([range(0, 30), range(30, N)]), "inner_product")


def nearest_words(rotated, words):
    """Number of the nearest word of every part. Shapes [n, W], [parts, words, size] -> [n, parts]."""
    apart = rotated.reshape(len(rotated), PARTS, 1, SIZE) - words[None]
    return (apart.astype(float) ** 2).sum(axis=3).argmin(axis=2)


def unpacked(codes):
    """Two codes of 4 bits a byte, the low half first."""
    return np.stack([codes & 15, codes >> 4], axis=2).reshape(len(codes), -1)


def own_words(local, cell):
    return (local.words[cell] * local.steps[cell]).transpose(1, 2, 0)


def test_shared_codes_are_the_nearest_words(shared, rotated):
    np.testing.assert_array_equal(shared.encode(rotated, 0), nearest_words(rotated, shared.words))


@pytest.mark.parametrize("cell", [0, 1])
def test_local_codes_are_the_nearest_words_of_the_cell_that_may_be_written(local, rotated, cell):
    words = own_words(local, cell)
    words[0, UNWRITTEN] = np.inf
    np.testing.assert_array_equal(unpacked(local.encode(rotated, cell)), nearest_words(rotated, words))


@pytest.mark.parametrize("metric", ["inner_product", "euclidean"])
def test_a_question_holds_what_every_word_is_worth_to_the_query(local, rotated, metric):
    local = LocalWords(local.words, local.steps, metric)
    owners = np.arange(N) % 2
    tables = local.questions(rotated, owners).reshape(N, PARTS, 16)
    parts = rotated.reshape(N, PARTS, 1, SIZE).astype(float)
    words = np.stack([own_words(local, cell) for cell in owners]).astype(float)
    worth = (words * parts).sum(axis=3) if metric == "inner_product" else -((words - parts) ** 2).sum(axis=3)
    written = np.ones((PARTS, 16), bool)
    written[0, UNWRITTEN] = False
    np.testing.assert_allclose(tables[:, written], worth[:, written], rtol=1e-4, atol=1e-4)
    assert (tables[:, 0, UNWRITTEN] < tables[:, 0, :UNWRITTEN].min(axis=1)).all()


def test_questions_are_the_same_to_the_bit_alone_and_in_a_batch(local, rotated):
    owners = np.arange(N) % 2
    together = local.questions(rotated, owners)
    alone = [local.questions(rotated[i : i + 1], owners[i : i + 1])[0] for i in range(N)]
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("metric", ["inner_product", "euclidean"])
@pytest.mark.parametrize("cell", [0, 1])
def test_shared_codes_are_found_in_the_order_of_the_decoded_vectors(shared, rotated, cells, metric, cell):
    shared = SharedWords(shared.words, metric)
    codes = shared.encode(rotated, 0)
    decoded = np.concatenate([shared.words[part, codes[:, part]] for part in range(PARTS)], axis=1).astype(float)
    query, members = rotated[7] + 0.1, cells.members[cell]
    own = decoded[members]
    worth = own @ query if metric == "inner_product" else -((own - query) ** 2).sum(axis=1)
    found = shared.scanner(codes, cells).best(shared.questions(query[None], np.array([cell])), np.array([cell]), 40)
    n = min(40, len(members))
    assert found.items[0, :n].tolist() == members[np.argsort(-worth, kind="stable")[:n]].tolist()
    np.testing.assert_allclose(found.scores[0, :n], np.sort(worth)[::-1][:n], rtol=1e-4, atol=1e-4)
    assert (found.items[0, n:] == NO_ITEM).all()
    assert np.isneginf(found.scores[0, n:]).all()


@pytest.mark.parametrize("memory_map", [True, False])
def test_saved_words_write_the_same_codes(shared, local, rotated, tmp_path, memory_map):
    for words in (shared, local):
        words.save(tmp_path)
        loaded = type(words).load(tmp_path, "inner_product", memory_map=memory_map)
        np.testing.assert_array_equal(loaded.encode(rotated, 1), words.encode(rotated, 1))


@pytest.mark.parametrize(
    ("codebooks", "code_bytes", "dim", "parts"),
    [("shared", 8, 64, 8), ("local", 8, 64, 16), ("shared", 8, 5, 5), ("local", 8, 15, 15)],
)
def test_a_byte_is_one_part_of_shared_words_or_two_of_local_ones(codebooks, code_bytes, dim, parts):
    assert parts_of(codebooks, code_bytes, dim) == parts
