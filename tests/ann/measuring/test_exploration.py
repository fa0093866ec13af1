"""Parts of the search over settings: combinations, steps of effort, labels; any Pareto front by its definition."""

import doctest
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from twotower.ann.measuring import exploration
from twotower.ann.measuring.exploration import _distinguishing, _doubled, combinations, label_of
from twotower.ann.measuring.pareto import Setting, dominates, lost_recall, milliseconds, pareto_front
from twotower.ann.measuring.timing import Footprint, Latency

AXES = (lost_recall, milliseconds)
POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 6)), max_size=25)


def settings_of(points):
    return [
        Setting("b", "b", str(at), "C", {}, {10: recall / 6}, Latency(1, ms, ms, 1), 1.0, Footprint(1, 0, 1), 0.0)
        for at, (recall, ms) in enumerate(points)
    ]


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(exploration).failed == 0


@given(st.dictionaries(st.text("abc", min_size=1, max_size=2), st.lists(st.integers(0, 9), max_size=3), max_size=4))
def test_combinations_take_one_value_of_each_option_in_every_way(options):
    made = combinations(options)
    expected = 1
    for values in options.values():
        expected *= len(values)
    assert len(made) == expected
    assert all(list(one) == list(options) and all(one[n] in options[n] for n in options) for one in made)


@given(low=st.integers(1, 50), more=st.integers(0, 5000))
def test_effort_doubles_from_the_least_and_ends_with_the_most(low, more):
    steps = list(_doubled(low, low + more))
    assert (steps[0], steps[-1]) == (low, low + more)
    assert all(b == 2 * a for a, b in pairwise(steps[:-1]))
    assert all(a < b <= 2 * a for a, b in pairwise(steps))


def test_a_label_tells_texts_and_what_has_several_values():
    tried = {"factory": ["Flat"], "cells": [64, 128], "seed": [0]}
    assert _distinguishing({"factory": "Flat", "cells": 64, "seed": 0}, tried) == {"factory": "Flat", "cells": 64}
    assert label_of("faiss", {"factory": "IVF{cells}", "cells": 64}) == "faiss IVF{cells} cells 64"


@given(POINTS)
def test_none_on_the_front_beats_another_and_whoever_is_not_on_it_is_beaten_or_a_twin(points):
    settings = settings_of(points)
    front = pareto_front(settings, AXES)
    assert not any(dominates(a, b, AXES) for a in front for b in front)
    costs = [tuple(axis(s) for axis in AXES) for s in front]
    assert costs == sorted(set(costs))
    for left_out in (s for s in settings if not any(s is kept for kept in front)):
        twin = tuple(axis(left_out) for axis in AXES) in costs
        assert twin or any(dominates(kept, left_out, AXES) for kept in front)


@given(points=POINTS, again=POINTS)
def test_a_front_of_fronts_is_the_front_of_all(points, again):
    first, second = settings_of(points), settings_of(again)
    fronts = pareto_front(first, AXES) + pareto_front(second, AXES)
    assert [s.label for s in pareto_front(fronts, AXES)] == [s.label for s in pareto_front(first + second, AXES)]
