"""Section `moments`: a row a day, a curve, how each model was brought to each day; absent where all are asked once."""

from dataclasses import replace

import pytest

from twotower.evaluation.rows import MomentRow
from twotower.reports.markdown import markdown
from twotower.reports.page import figures_of, page
from twotower.reports.tables import print_report


@pytest.fixture(scope="module")
def rolled(report):
    """Two days; nobody has a say of ours on the second."""
    rows = tuple(
        MomentRow(at, model.name, report.primary, users, 7, 40, mean, *ends)
        for at, users, mean, ends in (("2017-05-01", 20, 0.25, (0.2, 0.3)), ("2017-05-02", 4, None, ()))
        for model in report.models
    )
    models = tuple(replace(model, follows=f"{model.name} & newer histories") for model in report.models)
    test = {**report.split["test"], "moments": 2, "questions": 24}
    return replace(report, moments=rows, models=models, split={**report.split, "test": test})


def test_the_page_has_a_row_a_day_and_says_how_models_followed(rolled):
    text = page(rolled)
    assert "Moment by moment" in text
    assert '<th scope="row">2017-05-02</th><td>4</td><td>7</td><td>40</td><td>–</td>' in text
    assert "<dd>ours &amp; newer histories</dd>" in text
    assert "asked 24 times at 2 moments" in text


def test_the_curve_is_drawn_and_the_markdown_has_the_same_rows(rolled):
    assert "moments" in {figure.file for figure in figures_of(rolled)}
    assert "| 2017-05-01 | 20 | 7 | 40 | 0.2500 | 0.2500 |" in " ".join(markdown(rolled).split("  "))


def test_the_terminal_says_how_often_users_are_asked(rolled, capsys):
    print_report(rolled)
    assert "users asked 24 times at 2 moments" in capsys.readouterr().out


def test_nothing_is_said_where_all_are_asked_once(report):
    assert "Moment by moment" not in page(report)
    assert "moments" not in {figure.file for figure in figures_of(report)}
    assert "were asked once each" in page(report)
