"""Section `scores`: calibration by hand, histograms that add up, and nothing where nothing was chosen."""

import pytest

from twotower.reports.section import Insights
from twotower.reports.sections.scores import calibration_in, reliability_of, scores_of
from twotower.reports.watching import hits_of
from twotower.types import Ragged


def test_calibration_counts_users_with_a_choice_among_their_candidates(ranked):
    calibration = reliability_of(ranked, hits_of(ranked, Ragged.from_lists([[2], [9]])))
    # user 0 alone; three bins a decade: .10 to .215 holds .12 and .16, .215 to .464 holds .30 (the choice) and .42
    assert calibration.predicted == pytest.approx((0.14, 0.36))
    assert calibration.observed == pytest.approx((0.0, 0.5))
    assert calibration.pairs == (2, 2)
    assert calibration.ece == pytest.approx((2 * 0.14 + 2 * (0.5 - 0.36)) / 4)


def test_each_of_several_choices_counts_its_share(ranked):
    calibration = reliability_of(ranked, hits_of(ranked, Ragged.from_lists([[2, 7, 11], [9]])))
    # items 2 (.30) and 7 (.16) were both chosen: one half each, item 11 is no candidate
    assert calibration.observed == pytest.approx(((0.5 + 0) / 2, (0.5 + 0) / 2))


def test_nothing_to_find_gives_no_calibration_and_no_histogram(ranked):
    hits = hits_of(ranked, Ragged.from_lists([[9], [9]]))
    assert reliability_of(ranked, hits) is None
    assert scores_of(ranked, hits) is None


def test_histograms_add_up_to_one(ranked):
    histogram = scores_of(ranked, hits_of(ranked, Ragged.from_lists([[2], [9]])))
    assert sum(histogram.positives) == pytest.approx(1)
    assert sum(histogram.negatives) == pytest.approx(1)


def test_the_calibration_is_there_for_the_report_to_keep(insights):
    assert calibration_in(insights) is insights.values["scores"].reliability
    assert calibration_in(Insights("r")) is None
