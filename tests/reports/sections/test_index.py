"""Section `index`: settings of a search as points, one line per index."""

from twotower.reports.sections.index import Index, IndexFindings, tuned_frontier


def setting(label, recall, ms, backend="kmeans"):
    return {"label": label, "recall": recall, "latency": {"p50_ms": ms, "k": 50}, "backend": backend}


def test_a_search_over_settings_gives_a_point_each_and_marks_the_chosen_and_the_exact_one():
    exact, cells = setting("exact", {"10": 1.0}, 2.0, "exact"), setting("kmeans 8", {"10": 0.99, "100": 0.9}, 0.5)
    frontier = tuned_frontier({"settings": [exact, cells], "chosen": cells, "threads": None, "n_queries": 1000})
    assert [(p.recall, p.p50_ms, p.chosen, p.exact) for p in frontier.points] == [
        (1.0, 2.0, False, True), (0.9, 0.5, True, False)
    ]  # fmt: skip
    assert frontier.conditions == "Found by make tune-index: 1,000 users, lists of 50, all thread(s)."


def test_an_index_whose_frontier_was_not_measured_is_still_shown(report):
    value = IndexFindings({"index": "ExactIndex"}, None)
    assert Index().figures(report, value) == []
    assert Index().words(report, value) == {}
    assert Index().words(report, None) is None
