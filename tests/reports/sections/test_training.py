"""Section `training`: what a run wrote about its epochs."""

import json

from twotower.reports.sections.training import Training, curves_in


def test_phases_are_named_in_the_order_in_which_they_were_trained(tmp_path):
    (tmp_path / "training.json").write_text(json.dumps([{"history": [{"epoch": 0, "loss": 1.0}]}, {"history": []}]))
    assert curves_in(tmp_path).curves == (("choosing the epochs", ({"epoch": 0, "loss": 1.0},)), ("last fit", ()))


def test_a_run_that_wrote_nothing_has_no_curves(tmp_path):
    assert curves_in(tmp_path) is None


def test_only_what_was_measured_is_drawn(tmp_path, report):
    for epoch, files in (({"epoch": 0, "loss": 1.0}, ["learning_loss"]), ({"epoch": 0}, [])):
        (tmp_path / "training.json").write_text(json.dumps([{"history": [epoch]}]))
        curves = curves_in(tmp_path)
        assert [figure.file for figure in Training().figures(report, curves)] == files
        assert (Training().words(report, curves) is None) == (not files)
