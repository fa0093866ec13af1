"""Candour: plain numbers, where rivals lead, one rule of significance for the whole page, warnings of little tuning."""

from dataclasses import replace

import numpy as np
import pytest

from twotower.evaluation.contest import Entrant, contest
from twotower.evaluation.results import Calibration
from twotower.evaluation.rows import RivalRow
from twotower.metrics.significance import holm
from twotower.reports import wording
from twotower.reports.candour import conclusion, leads, plain_number, warnings
from twotower.reports.figures import PRINT
from twotower.reports.page import page
from twotower.reports.sections.slices import draw_slices


def with_rates(report, **rates):
    rows = tuple(
        replace(row, mean=rates[row.model]) if row.key == "hit_rate@10" and row.model in rates else row
        for row in report.rows
    )
    return replace(report, rows=rows)


@pytest.mark.parametrize(
    ("ours", "popular", "expected"),
    [
        (0.4173, 0.4514, "For 4 of 10 users, the list of 10 by ours holds something they chose later; "
                         "the list by popular does for 5 of 10."),
        (0.034, 0.051, "For 3 of 100 users, the list of 10 by ours holds something they chose later; "
                       "the list by popular does for 5 of 100."),
        (0.0, 0.25, "For 0 of 10 users, the list of 10 by ours holds something they chose later; "
                    "the list by popular does for 2 of 10."),
    ],
)  # fmt: skip
def test_a_plain_number_comes_first(report, ours, popular, expected):
    told = with_rates(report, ours=ours, popular=popular)
    assert plain_number(told) == expected
    assert page(told).index(expected.replace("'", "&#39;")) < page(told).index("reaches map@10")


def rivals(*rows):
    return tuple(RivalRow("ours", rival, metric, ours, theirs, p, p) for rival, metric, ours, theirs, p in rows)


def test_every_metric_by_which_a_rival_leads_is_named_those_told_apart_first(report):
    told = replace(
        report,
        rivals=rivals(
            ("als", "map@10", 0.05, 0.04, 0.6), ("als", "recall@10", 0.063, 0.0764, 0.01),
            ("als", "ndcg@10", 0.1103, 0.1133, 0.3), ("als", "map@30", 0.05, 0.052, 0.02),
            ("knn", "map@10", 0.05, 0.01, 0.001),
        ),
    )  # fmt: skip
    assert leads(told) == [
        "als leads in 3 of 4 figures: recall@10 0.0764 : 0.0630 ▼, map@30[min] 0.0520 : 0.0500 ▼, "
        "ndcg@10 0.1133 : 0.1103."
    ]
    assert "Where a rival leads" in page(told)
    assert "Where a rival leads" not in page(replace(told, rivals=told.rivals[-1:]))


def test_what_the_data_do_not_tell_apart_is_said_so_and_never_explained_by_chance(report):
    told = replace(report, rivals=rivals(("als", "map@10", 0.05, 0.04, 0.6), ("knn", "map@10", 0.05, 0.01, 0.001)))
    assert conclusion(told) == (
        "The data tell ours apart from knn; they do not tell it apart from als (p 0.60) "
        "(permutation test, p after Holm, 5% level)."
    )
    assert "hance" not in page(told).split("</style>")[1]


def test_errors_lead_where_they_are_smaller(report):
    assert RivalRow("ours", "als", "rmse", 0.9, 0.8, 0.01).rival_leads
    assert not RivalRow("ours", "als", "map@10", 0.9, 0.8, 0.01).rival_leads


def test_few_trials_and_settings_at_the_border_are_warnings(report):
    ours, popular = report.models
    trial = {"options": {}, "score": 0.1, "seconds": 1.0, "error": None}
    few = replace(popular, trials=(trial,) * 2, grid_size=27, at_border=("dim",))
    lines = warnings(replace(report, models=(ours, few)))
    assert lines[0] == "Too few settings were tried to call these tuned: popular (2 of 27); raise eval.max_trials."
    assert "popular (dim)" in lines[1]
    exhausted = replace(popular, trials=(trial,) * 2, grid_size=2)
    enough = replace(popular, trials=(trial,) * 5, grid_size=27)
    for model in (exhausted, enough, popular):
        assert warnings(replace(report, models=(ours, model))) == []


def test_rivals_are_tested_by_every_metric_and_corrected_over_rivals(split, by_score):
    fitted = {name: by_score(weight=w, noise=n).fit(split) for name, w, n in (("o", 1, 0), ("a", 0, 1), ("b", -1, 0))}
    contenders = {name: Entrant(model, family="ours" if name == "o" else "cf") for name, model in fitted.items()}
    report = contest(split, contenders, ks=(1, 10), resamples=200)
    assert {row.rival for row in report.rivals} == {"a", "b"}
    assert {row.metric for row in report.rivals} == {row.key for row in report.rows}
    for metric in ("map@10", "recall@1"):
        rows = [row for row in report.rivals if row.metric == metric]
        assert [row.p_holm for row in rows] == pytest.approx(holm(np.array([row.p_value for row in rows])))
        assert [row.rival_mean for row in rows] == [report.row(row.rival, metric).mean for row in rows]


def test_the_slice_plot_marks_what_its_table_marks(report):
    """An interval beyond zero with a p-value that Holm raised: a ring, as the table's sign says."""
    row = replace(
        report.slices[0], model="ours", difference=0.1, difference_low=0.01, difference_high=0.2, p_value=0.03,
        p_holm=0.3,
    )  # fmt: skip
    assert wording.mark(report, row) == wording.ALIKE
    for p_holm, filled in ((0.3, "none"), (0.01, PRINT.series[0])):
        assert drawn(report, replace(row, p_holm=p_holm)) == filled


def drawn(report, row):
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    draw_slices(report, [row], axes, PRINT)
    (point,) = [line for line in axes.lines if line.get_marker() in ("o", "^", "v")]
    return point.get_markerfacecolor()


def test_a_calibration_nine_times_off_is_called_so_however_small_its_error():
    """1,000,000 pairs foreseen at .0009 of which .0001 are chosen: an error of .0008, a factor of nine."""
    calibration = Calibration("RankNet", (0.0009,), (0.0001,), (1_000_000,), 0.0008)
    assert calibration.factor == pytest.approx(9)
    assert Calibration("RankNet", (0.2, 0.01), (0.2, 0.01), (10, 100), 0.0).factor == 1
    nothing = Calibration(
        "RankNet", (0.05, 0.2), (0.0, 0.2), (100, 10), 0.0
    )  # half a choice of 100: .005, ten times off
    weights = (100 * 0.05, 10 * 0.4)
    assert nothing.factor == pytest.approx(np.exp(weights[0] * np.log(10) / sum(weights)))


def test_contents_lead_to_every_heading(report, insights):
    text = page(report, insights)
    assert '<a href="#all-models">All models</a>' in text
    assert '<h2 id="all-models">All models</h2>' in text
    assert text.count('<a href="#') == text.count("<h2 id=")
    for rule in ("@media print", "animation-timeline", "max-width: 40rem"):
        assert rule in text
