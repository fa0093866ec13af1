"""`twotower compare-metrics`: the golden list under every definition, other lists, and what is refused."""

import pytest

from twotower.commands.compare_metrics import compare_metrics
from twotower.commands.console import main
from twotower.metrics.definitions import hits_at, scores


def test_the_golden_list_under_every_definition(capsys):
    assert main(["compare-metrics"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("hits at ranks 1, 3, 6 of 6; 5 relevant items")
    assert printed.count("\n") > 12
    by_name = {f"{d.library} {d.name}": values for d, values in scores(hits_at([1, 3, 6], 6), 5, [3, 10])}
    ap, shares = 1 / 1 + 2 / 3, {3: 2, 10: 3}
    assert by_name["twotower map@k[min]"] == pytest.approx([ap / 3, (ap + 3 / 6) / 5])  # .5556 .4333
    assert by_name["trec_eval, ir-measures map_cut.k, AP@k"] == pytest.approx([ap / 5, (ap + 3 / 6) / 5])  # .3333 .4333
    assert by_name["torchmetrics RetrievalMAP"] == pytest.approx([ap / 2, (ap + 3 / 6) / 3])  # .8333 .7222
    assert by_name["reference paper MAP@k"] == pytest.approx([shares[3] / 3, shares[10] / 10])  # .6667 .3
    assert by_name["implicit precision_at_k"] == pytest.approx([2 / 3, 3 / 5])
    assert all(f"{value:.4f}" in printed for values in by_name.values() for value in values)


def test_other_lists_can_be_given(capsys):
    assert main(["compare-metrics", "--hits", "2", "--relevant", "1", "--length", "10", "--k", "1", "5"]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if "map@k[min]" in line)
    assert row.split()[2:4] == ["0.0000", "0.5000"]


def test_a_list_without_hits_scores_0_everywhere():
    found = scores(hits_at([], 4), 2, [1, 4])
    assert all(value == 0 for _, values in found for value in values)
    assert "hits at ranks none of 4" in compare_metrics([], 2, 4, [1])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--hits", "3", "--length", "2"], "must be different and lie within 1 and the length 2"),
        (["--hits", "1", "2", "--relevant", "1"], "2 hits need at least so many relevant items"),
        (["--hits", "--relevant", "0"], "0 hits need at least so many relevant items, and one; got 0"),
        (["--k", "0"], "k=0 must be at least 1"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(words, told, capsys):
    assert main(["compare-metrics", *words]) == 1
    assert told in capsys.readouterr().err
