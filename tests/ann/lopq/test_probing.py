"""`best_of_cells` gives what sorting everything would, whatever the scores, their ties and the sizes of the cells."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from twotower.ann.lopq.probing import best_of_cells
from twotower.types import NO_ITEM, TopK

CELLS = st.integers(1, 4).flatmap(
    lambda n: st.lists(
        st.lists(st.lists(st.integers(0, 5), max_size=60), min_size=n, max_size=n), min_size=1, max_size=3
    )
)
"""Queries of as many cells each, with the whole scores of each cell's items."""


def numbered(queries):
    """Per pair its items and scores, best first, ties by id; ids run through all pairs."""
    pairs, start = [], 0
    for scores in (cell for cells in queries for cell in cells):
        order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
        pairs.append(([start + i for i in order], [float(scores[i]) for i in order]))
        start += len(scores)
    return pairs


def scanner_of(pairs):
    def scan(numbers, k):
        answer = TopK.nothing(len(numbers), k)
        for row, number in enumerate(numbers):
            items, scores = pairs[number]
            n = min(k, len(items))
            answer.items[row, :n], answer.scores[row, :n] = items[:n], scores[:n]
        return answer

    return scan


@given(queries=CELLS, k=st.integers(1, 70), shift=st.integers(-3, 3))
def test_any_cells_give_the_best_of_sorting_everything_with_ties_by_id(queries, k, shift):
    pairs, n_cells = numbered(queries), len(queries[0])
    largest = max(1, *(len(items) for items, _ in pairs)) if pairs else 1
    common = np.arange(len(pairs), dtype=np.float32).reshape(len(queries), n_cells) % 3 * shift
    found = best_of_cells(scanner_of(pairs), common, k, largest)
    for query in range(len(queries)):
        every = [
            (-(score + common[query, cell]), item)
            for cell in range(n_cells)
            for item, score in zip(*pairs[query * n_cells + cell], strict=True)
        ]
        expected = sorted(every)[:k]
        assert found.items[query, : len(expected)].tolist() == [item for _, item in expected]
        assert found.scores[query, : len(expected)].tolist() == [-negated for negated, _ in expected]
        assert (found.items[query, len(expected) :] == NO_ITEM).all()


@given(queries=CELLS, k=st.integers(1, 70))
def test_no_cell_is_asked_for_more_than_k_or_than_the_largest_holds(queries, k):
    pairs, asked = numbered(queries), []
    largest = max(1, *(len(items) for items, _ in pairs))

    def scan(numbers, n):
        asked.append((len(numbers), n))
        return scanner_of(pairs)(numbers, n)

    best_of_cells(scan, np.zeros((len(queries), len(queries[0])), np.float32), k, largest)
    assert max(n for _, n in asked) <= min(k, largest)
    assert asked[0][0] == len(pairs)
    assert len(asked) <= 2
