"""The report page: one file, honest sections, escaped names, colours of the page; and the gathering behind it."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from twotower.data.categories import Categories
from twotower.data.schema import Column, FeatureSchema, Kind
from twotower.data.tables import FeatureTable
from twotower.evaluation.contest import Entrant, contest
from twotower.evaluation.results import PeerCheck
from twotower.reports.diagnostics import Example, Frontier, FrontierPoint, Insights, Place
from twotower.reports.figures import PAGE, svg
from twotower.reports.measure import exposure_of, hits_of, reliability_of, scores_of, stages_of, vector_map
from twotower.reports.page import figures_of, gains_of, page, verdict_of
from twotower.reports.writers import write_report
from twotower.stages.recommender import Trace
from twotower.types import NO_ITEM, Ragged, TopK

HOSTILE = '<script>alert("x")</script> & $x_1$'


@pytest.fixture(scope="module")
def report(split, by_score):
    contenders = {
        "ours": Entrant(by_score(weight=0.0, noise=1.0).fit(split), family="ours"),
        "popular": Entrant(by_score().fit(split), family="popular"),
    }
    return contest(split, contenders, baseline="popular", ks=(1, 5, 10), resamples=100)


@pytest.fixture(scope="module")
def ranked():
    """Two users with four candidates; user 0 took item 2 (second place), user 1 nothing of these."""
    scores = np.log(np.array([[0.42, 0.3, 0.16, 0.12], [0.7, 0.1, 0.1, 0.1]], np.float32))
    return TopK(np.array([[5, 2, 7, 1], [3, 4, 6, 0]]), scores)


@pytest.fixture(scope="module")
def insights(ranked):
    relevant = Ragged.from_lists([[2], [9]])
    hits = hits_of(ranked, relevant)
    rng = np.random.default_rng(0)
    table = FeatureTable(
        FeatureSchema((Column("kind", Kind.CATEGORICAL),)), {"kind": Categories.of([HOSTILE, "b"] * 20)}, 40
    )
    epochs = ({"epoch": 0, "loss": 2.0, "validation": 0.1}, {"epoch": 1, "loss": 1.0, "validation": 0.2})
    places = (Place("2", "two", hit=True), Place("3", "three"))
    return Insights(
        run="r",
        n_users=2,
        stages=stages_of(Trace((), None, {}, ranked, ranked, ranked), relevant),
        scores=scores_of(ranked, hits),
        reliability=reliability_of(ranked, hits),
        exposure=exposure_of(np.arange(100), {"both stages": np.array([99, 99, 0])}),
        vectors=vector_map(rng.normal(size=(40, 4)).astype(np.float32), table),
        examples=(Example(HOSTILE, 1, (Place("1", HOSTILE),), places, 1),),
        curves=(("choosing the epochs", epochs),),
        index={"index": "FaissIndex", "recall": {"@10": 0.99}},
        frontier=Frontier(
            (FrontierPoint("exact", 1.0, 0.9, exact=True), FrontierPoint("F 8", 0.9, 0.2, True)), "Told."
        ),
        commands=("python -m twotower.evaluate run=r",),
    )


class Tags(HTMLParser):
    """Opening and closing tags must match; addresses are kept."""

    VOID = frozenset(("meta", "link", "br", "img", "hr", "input"))

    def __init__(self):
        super().__init__()
        self.open, self.addresses, self.ids, self.names = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "xlink:href")]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parsed(text):
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    return tags


def headings(text):
    return re.findall(r"<h2>(.*?)</h2>", text)


def test_the_page_is_one_file_that_asks_no_network(report, insights):
    text = page(report, insights)
    tags = parsed(text)
    assert all(address.startswith("#") for address in tags.addresses)
    assert "script" not in tags.names
    assert "@import" not in text
    assert re.findall(r"url\((?!#)", text) == []


def test_names_from_outside_are_escaped_everywhere(report, insights):
    models = tuple(replace(model, name=HOSTILE if model.name == "ours" else model.name) for model in report.models)
    rows = tuple(replace(row, model=HOSTILE if row.model == "ours" else row.model) for row in report.rows)
    gains = tuple(replace(gain, model=HOSTILE) for gain in report.gains)
    slices = tuple(replace(row, model=HOSTILE if row.model == "ours" else row.model) for row in report.slices)
    text = page(replace(report, models=models, rows=rows, gains=gains, slices=slices), insights)
    assert "script" not in parsed(text).names
    assert "&lt;script&gt;" in text
    assert "$x_1$" in text  # drawn as written, not set as a formula


def test_sections_without_data_are_left_out(report, insights):
    everything, little = headings(page(report, insights)), headings(page(report))
    assert set(everything) - set(little) == {
        "The two stages",
        "The index",
        "What RankNet's scores mean",
        "Training",
        "Item vectors",
        "Lists of users drawn at random",
    }
    assert [shown.file for shown in figures_of(report)] == ["curve", "slices_activity", "slices_popularity", "novelty"]


def test_the_figures_of_the_page_use_its_colours_only(report, insights):
    for shown in figures_of(report, insights):
        text = svg(shown.draw, shown.told)
        ElementTree.fromstring(text.replace("xlink:", ""))
        assert "var(--c" in text or shown.file.startswith("slices")  # grey where nothing was told apart
        assert "var(--soft)" in text
        assert not [stand_in for stand_in in (PAGE.ink, PAGE.soft, *PAGE.series) if stand_in in text]
        assert set(re.findall(r"#[0-9a-f]{6}\b", text)) <= {"#000000"}  # of paths that are clipped away or unfilled


def test_every_figure_is_also_a_file_and_the_insights_read_back(report, insights, tmp_path):
    files = write_report(report, tmp_path, insights)
    assert files[-2:] == [tmp_path / "report.html", tmp_path / "report.json"]
    for shown in figures_of(report, insights):
        if shown.file != "curve":
            assert (tmp_path / "figures" / f"{shown.file}.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "figures" / "insights.json").read_text())["stages"]["retrieved"]["1"] == 0.0


def test_gains_are_shares_of_the_other_models_figure(report):
    verdict = verdict_of(report)
    at_10 = report.row("ours", "map@10").mean / report.row("popular", "map@10").mean - 1
    ((peer, gains),) = gains_of(report, verdict)
    assert (verdict.ours, peer) == ("ours", "popular")
    assert gains[report.ks.index(10)].relative == pytest.approx(at_10)


def test_a_page_whose_hero_loses_says_so_in_red_with_a_sign_and_words(report, split, by_score):
    best, worst = (model.name for model in report.ranking())
    families = {True: "ours", False: "popular"}
    for hero, behind in ((worst, True), (best, False)):
        models = tuple(replace(model, family=families[model.name == hero]) for model in report.models)
        text = page(replace(report, models=models))
        assert (f"▼ {best} is better than {worst} here" in text) == behind
        assert ('class="verdict missed"' in text) == behind


def test_a_method_weaker_than_a_peers_stands_first_in_red_else_one_calm_line(report):
    lost = PeerCheck("lib_als", "als", "map@10", -0.02, -0.03, -0.01, weaker=True)
    even = replace(lost, difference=0.001, high=0.02, weaker=False)
    text = page(replace(report, peer_checks=(even, lost)))
    assert text.index("Weaker than another library") < text.index("reaches map@10[min]")
    assert "als is ▼ weaker than lib_als: map@10[min] -0.02000 (95% interval -0.03000 to -0.01000)" in text
    calm = page(replace(report, peer_checks=(even,)))
    assert "Weaker than another library" not in calm
    assert "Our methods are not weaker than those of other libraries, within the interval: als and lib_als." in calm


def named(report, *families):
    """As many models as families, `m0` the best."""
    model, rows = report.models[0], [row for row in report.rows if row.model == report.models[0].name]
    models = tuple(replace(model, name=f"m{at}", family=family) for at, family in enumerate(families))
    rows = tuple(replace(r, model=m.name, mean=r.mean / (2 + at)) for at, m in enumerate(models) for r in rows)
    return replace(report, models=models, rows=rows, slices=(), gains=(), baseline=None)


def test_the_first_figure_always_shows_ours_the_best_cf_the_best_hybrid_and_the_baseline(report):
    many = named(report, *["cf"] * 6, "popular", "hybrid", "stage", "ours")
    verdict = verdict_of(replace(many, baseline="m6"))
    assert verdict.called == {
        "m9": "m9 (ours)", "m0": "m0 (best CF)", "m1": "m1", "m6": "m6 (baseline)", "m7": "m7 (best hybrid)"
    }  # fmt: skip
    assert (verdict.ours, verdict.peers, verdict.behind) == ("m9", ("m0", "m1", "m6", "m7"), "m0")


def test_a_part_of_ours_is_no_rival_and_a_second_run_stands_beside_the_first(report):
    verdict = verdict_of(named(report, "stage", "ours", "ours", "cf"))
    assert (verdict.ours, verdict.peers, verdict.behind) == ("m1", ("m2", "m3"), None)


def test_gains_per_slice_are_drawn_and_every_slice_is_in_the_table(report):
    files = [shown.file for shown in figures_of(report)]
    assert [file for file in files if file.startswith("slices")] == ["slices_activity", "slices_popularity"]
    text = page(report)
    for row in report.slices:
        assert f"{row.mean:.4f}" in text
        assert f"{row.users:,} users" in text


def test_a_hit_is_marked_in_the_list(report, insights):
    text = page(report, insights)
    assert re.search(r'<li class="hit">two <code>2</code>', text)
    assert re.search(r"<li>three <code>3</code>", text)


def test_hits_are_found_per_user_and_padding_is_none():
    found = TopK(np.array([[1, 2], [2, NO_ITEM]]), np.array([[1.0, 0.5], [1.0, -np.inf]], np.float32))
    assert hits_of(found, Ragged.from_lists([[2, 7], [1]])).tolist() == [[False, True], [False, False]]
    assert hits_of(found, Ragged.from_lists([[], [2]])).tolist() == [[False, False], [True, False]]


def test_stage_recall_counts_targets_that_were_not_found(ranked):
    trace = Trace((), None, {}, ranked, TopK(ranked.items[:, ::-1], ranked.scores), ranked)
    found = stages_of(trace, Ragged.from_lists([[5, 8], [3]]))
    assert found.retrieved == {1: (1 / 2 + 1) / 2}  # user 0 has one of two targets first, user 1 its only one
    assert found.ranked == {1: 0.0}


def test_calibration_counts_users_with_a_choice_among_their_candidates(ranked):
    found = reliability_of(ranked, hits_of(ranked, Ragged.from_lists([[2], [9]])))
    # user 0 alone; three bins a decade: .10 to .215 holds .12 and .16, .215 to .464 holds .30 (the choice) and .42
    assert found.predicted == pytest.approx((0.14, 0.36))
    assert found.observed == pytest.approx((0.0, 0.5))
    assert found.pairs == (2, 2)
    assert found.ece == pytest.approx((2 * 0.14 + 2 * (0.5 - 0.36)) / 4)


def test_nothing_to_find_gives_no_calibration_and_no_histogram(ranked):
    hits = hits_of(ranked, Ragged.from_lists([[9], [9]]))
    assert reliability_of(ranked, hits) is None
    assert scores_of(ranked, hits) is None


def test_histograms_add_up_to_one(ranked):
    found = scores_of(ranked, hits_of(ranked, Ragged.from_lists([[2], [9]])))
    assert sum(found.positives) == pytest.approx(1)
    assert sum(found.negatives) == pytest.approx(1)


def test_the_most_popular_hundredth_is_the_first_shelf():
    found = exposure_of(np.arange(100), {"shown": np.array([99, 99, 98, 0])})  # item 99 has the most events
    assert found.shares["shown"] == (0.5, 0.25, 0.0, 0.0, 0.25)


def test_the_map_is_coloured_by_the_feature_that_separates_the_vectors():
    rng = np.random.default_rng(3)
    side = np.repeat([0, 1], 30)
    vectors = (rng.normal(size=(60, 5)) + 8 * side[:, None]).astype(np.float32)
    columns = {"noise": Categories.of(list("ab" * 30)), "side": Categories.of([str(s) for s in side])}
    schema = FeatureSchema(tuple(Column(name, Kind.CATEGORICAL) for name in columns))
    found = vector_map(vectors, FeatureTable(schema, columns, 60))
    assert found.feature == "side"
    assert found.explained > 0.9
    assert vector_map(vectors, FeatureTable.empty(60)) is None
