"""Watched users: which of their candidates they chose."""

import numpy as np

from twotower.reports.watching import hits_of
from twotower.types import NO_ITEM, Ragged, TopK


def test_hits_are_per_user_and_padding_is_none():
    lists = TopK(np.array([[1, 2], [2, NO_ITEM]]), np.array([[1.0, 0.5], [1.0, -np.inf]], np.float32))
    assert hits_of(lists, Ragged.from_lists([[2, 7], [1]])).tolist() == [[False, True], [False, False]]
    assert hits_of(lists, Ragged.from_lists([[], [2]])).tolist() == [[False, False], [True, False]]
