"""Section `stages`: recall of both orders, worked out by hand."""

from twotower.reports.sections.stages import stages_of
from twotower.reports.watching import Watched
from twotower.types import Ragged, TopK


def test_stage_recall_counts_targets_that_were_not_found(ranked):
    reversed_order = TopK(ranked.items[:, ::-1], ranked.scores)
    value = stages_of(Watched(Ragged.from_lists([[5, 8], [3]]), ranked, reversed_order))
    assert value.n_users == 2
    assert value.stages.retrieved == {1: (1 / 2 + 1) / 2}  # user 0 has one of two targets first, user 1 its only one
    assert value.stages.ranked == {1: 0.0}
