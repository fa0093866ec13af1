"""`Vocabulary`: which values are known, and which codes they have."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower.errors import BadConfig
from twotower.features.vocabulary import Vocabulary

WORDS = np.array(["pear", "apple", "fig", "kiwi"], dtype=object)


def test_codes_follow_the_sorted_values_and_start_after_the_unknown_bucket():
    vocabulary = Vocabulary.of(WORDS, np.array([1, 1, 1, 1]))
    assert vocabulary.values.tolist() == ["apple", "fig", "kiwi", "pear"]
    assert vocabulary.codes_of(np.array(["pear", "plum", "apple"], dtype=object)).tolist() == [4, 0, 1]
    assert len(vocabulary) == 5  # four values and the bucket


def test_rare_values_share_the_unknown_bucket():
    vocabulary = Vocabulary.of(WORDS, np.array([3, 1, 2, 0]), min_count=2)
    assert vocabulary.values.tolist() == ["fig", "pear"]
    assert vocabulary.codes_of(WORDS).tolist() == [2, 0, 1, 0]


def test_a_value_never_seen_in_the_rows_is_unknown_even_without_a_minimum():
    assert Vocabulary.of(WORDS, np.array([1, 0, 0, 0])).values.tolist() == ["pear"]


def test_max_values_keeps_the_most_frequent_and_breaks_ties_by_text():
    # pear 5 stays; apple, fig and kiwi tie at 2 for one more place: apple comes first
    assert Vocabulary.of(WORDS, np.array([5, 2, 2, 2]), max_values=2).values.tolist() == ["apple", "pear"]


def test_a_vocabulary_without_values_has_the_bucket_only():
    vocabulary = Vocabulary.of(np.empty(0, object), np.empty(0, int))
    assert len(vocabulary) == 1
    assert vocabulary.codes_of(WORDS).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("options", [{"min_count": 0}, {"max_values": 0}])
def test_senseless_limits_are_refused(options):
    with pytest.raises(BadConfig, match="at least 1"):
        Vocabulary.of(WORDS, np.ones(4), **options)


@given(st.dictionaries(st.text(min_size=1, max_size=5), st.integers(0, 5), min_size=1), st.integers(1, 4))
def test_exactly_the_frequent_values_have_codes_of_their_own(counts, min_count):
    values = np.empty(len(counts), object)
    values[:] = list(counts)
    vocabulary = Vocabulary.of(values, np.array(list(counts.values())), min_count=min_count)
    codes = vocabulary.codes_of(values)
    assert ((codes > 0) == (np.array(list(counts.values())) >= min_count)).all()
    assert sorted(codes[codes > 0].tolist()) == list(range(1, len(vocabulary)))
