"""The report page: one file, its sections in order, escaped names, and a section added by one file and one partial."""

import importlib.util
import json
import re
import shutil
from dataclasses import asdict, replace
from html.parser import HTMLParser

import pytest

from twotower.evaluation.contest import contest
from twotower.evaluation.results import IndexCost, PeerCheck, StageGain
from twotower.evaluation.rows import RivalRow
from twotower.metrics.labels import metric_label
from twotower.reports import page as report_page
from twotower.reports.figures import svg
from twotower.reports.markdown import markdown
from twotower.reports.page import SECTIONS, TEMPLATES, figures_of, page
from twotower.reports.section import Insights
from twotower.reports.writers import write_report


class Tags(HTMLParser):
    """Opening and closing tags must match; addresses are kept, and the outline: headings, figures, tables."""

    VOID = frozenset(("meta", "link", "br", "img", "hr", "input"))

    def __init__(self):
        super().__init__()
        self.open, self.addresses, self.names, self.outline = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag in ("figure", "table"):
            self.outline.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.outline.append(data)


def parsed(text):
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    return tags


def test_the_page_is_one_file_that_asks_no_network(report, insights):
    text = page(report, insights)
    tags = parsed(text)
    assert all(address.startswith("#") for address in tags.addresses)
    assert "script" not in tags.names
    assert "@import" not in text
    assert re.findall(r"url\((?!#)", text) == []


def test_headings_figures_and_tables_stand_in_this_order(report, insights):
    n_metrics, n_sliced = len(report.metrics), len({(row.kind, row.metric) for row in report.slices})
    assert parsed(page(report, insights)).outline == [
        "figure", "table",
        "All models", "table", *["table"] * n_metrics,
        "Where it helps and where not", "figure", "figure", *["table"] * n_sliced,
        "The two stages", "figure", "table",
        "The index", "figure", "table",
        "What RankNet's scores mean", "figure", "figure",
        "Popularity and variety", "figure", "figure", "table",
        "Training", "figure", "figure",
        "Item vectors", "figure",
        "Lists of users drawn at random",
        "Audit of the split", "table",
        "What it cost", "table", "table",
        "How to get the same",
    ]  # fmt: skip


def test_the_markdown_page_has_these_headings_in_this_order(report, insights):
    calibrated = replace(report, calibration=insights.values["scores"].reliability)
    assert re.findall(r"^##? (.*)$", markdown(calibrated, insights), re.MULTILINE) == [
        f"toy: 2 models, {report.split['name']}",
        "map@10[min]", "Relative gain of ours", "Slices",
        *map(metric_label, report.metrics),
        "Catalogue", "Calibration of RankNet", "Audit of the split", "Cost", "Options",
    ]  # fmt: skip


def test_figures_are_listed_in_the_order_of_the_page(report, insights):
    assert [figure.file for figure in figures_of(report, insights)] == [
        "curve", "slices_activity", "slices_popularity", "stages", "frontier", "scores", "calibration", "exposure",
        "novelty", "learning_validation", "learning_loss", "map",
    ]  # fmt: skip


def test_sections_without_data_are_left_out(report, insights):
    everything, little = (set(parsed(text).outline) for text in (page(report, insights), page(report)))
    assert everything - little == {
        "The two stages",
        "The index",
        "What RankNet's scores mean",
        "Training",
        "Item vectors",
        "Lists of users drawn at random",
    }
    assert [figure.file for figure in figures_of(report)] == [
        "curve",
        "slices_activity",
        "slices_popularity",
        "novelty",
    ]


def test_values_of_sections_share_no_field(insights):
    names = [name for value in insights.values.values() for name in asdict(value)]
    assert len(names) == len(set(names))
    assert set(insights.values) < {section.name for section in SECTIONS}


SECTION = '''"""Section `churn`: how many users leave."""

from dataclasses import dataclass
from functools import partial

from twotower.reports.section import ReportFigure, Section


@dataclass(frozen=True, slots=True)
class Left:
    churn: dict[str, float]


class Churn(Section[Left]):
    name = "churn"

    def figures(self, report, value):
        return [ReportFigure("churn", partial(draw_churn, value), "Users who left")] if value else []

    def markdown(self, report, value):
        if value:
            yield f"## Users who left\\n\\n{value.churn['share']:.0%} of {report.dataset['users']}"


def draw_churn(value, axes, look):
    axes.bar(list(value.churn), list(value.churn.values()), color=look.series[0])
'''
PARTIAL = """{% from "macros.html.jinja" import figure with context %}
<h2>Users who left</h2>
<p>{{ value.churn.share|share }} of {{ report.dataset.users }}</p>
{{ figure("churn", "Leavers.") }}
"""


@pytest.fixture
def churn(tmp_path, monkeypatch):
    """The module of a section that was added by one file and one partial, before the section on costs."""
    templates, file = tmp_path / "templates", tmp_path / "churn.py"
    shutil.copytree(TEMPLATES, templates)
    (templates / "sections" / "churn.html.jinja").write_text(PARTIAL)
    file.write_text(SECTION)
    spec = importlib.util.spec_from_file_location("churn", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(report_page, "TEMPLATES", templates)
    monkeypatch.setattr(report_page, "SECTIONS", (*SECTIONS[:-2], module.Churn(), *SECTIONS[-2:]))
    return module


def test_one_file_and_one_partial_add_a_section_everywhere(churn, report, insights, tmp_path):
    more = Insights("r", {**insights.values, "churn": churn.Left({"share": 0.25})})
    write_report(report, tmp_path / "run", more)
    html, text = ((tmp_path / "run" / name).read_text() for name in ("report.html", "report.md"))
    outline = parsed(html).outline
    assert outline[outline.index("Users who left") :][:3] == ["Users who left", "figure", "What it cost"]
    assert f"<p>25.0% of {report.dataset['users']}</p>" in html
    assert f"## Users who left\n\n25% of {report.dataset['users']}" in text
    assert (tmp_path / "run/figures/churn.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "run/figures/insights.json").read_text())["churn"] == {"share": 0.25}


def test_without_its_data_the_added_section_leaves_no_trace(churn, report, insights, tmp_path):
    write_report(report, tmp_path / "run", insights)
    for name in ("report.html", "report.md", "figures/insights.json"):
        assert "churn" not in (tmp_path / "run" / name).read_text()
        assert "Users who left" not in (tmp_path / "run" / name).read_text()
    assert not (tmp_path / "run/figures/churn.png").exists()


def test_names_from_outside_are_escaped_everywhere(report, insights, hostile):
    def renamed(rows):
        return tuple(replace(row, model=hostile if row.model == "ours" else row.model) for row in rows)

    models = tuple(replace(model, name=hostile if model.name == "ours" else model.name) for model in report.models)
    text = page(
        replace(report, models=models, rows=renamed(report.rows), gains=renamed(report.gains),
                slices=renamed(report.slices)),
        insights,
    )  # fmt: skip
    assert "script" not in parsed(text).names
    assert "&lt;script&gt;" in text
    assert "$x_1$" in text  # drawn as written, not set as a formula


def test_every_figure_is_also_a_file_and_the_insights_read_back(report, insights, tmp_path):
    files = write_report(report, tmp_path, insights)
    assert files[-2:] == [tmp_path / "report.html", tmp_path / "report.json"]
    for figure in figures_of(report, insights):
        if figure.file != "curve":
            assert (tmp_path / "figures" / f"{figure.file}.png").read_bytes().startswith(b"\x89PNG")
    facts = json.loads((tmp_path / "figures" / "insights.json").read_text())
    assert (facts["run"], facts["n_users"], facts["stages"]["retrieved"]["1"]) == ("r", 2, 0.0)
    assert facts["frontier"]["conditions"] == "At ease."


def test_a_page_whose_hero_loses_says_so_in_red_with_a_sign_and_words(report):
    best, worst = (model.name for model in report.ranking())
    families = {True: "ours", False: "popular"}
    for hero, other, p_holm in ((worst, best, 0.001), (worst, best, 0.4), (best, worst, 0.001)):
        models = tuple(replace(model, family=families[model.name == hero]) for model in report.models)
        figures = (report.row(name, "map@10").mean for name in (hero, other))
        rivals = (RivalRow(hero, other, "map@10", *figures, p_holm, p_holm),)
        text, behind = page(replace(report, models=models, rivals=rivals)), hero == worst
        assert (f"▼ {best} is better than {worst} here" in text) == (behind and p_holm < 0.05)
        assert ("has a higher figure than" in text) == (behind and p_holm > 0.05)
        assert ('class="verdict missed"' in text) == (behind and p_holm < 0.05)


def test_a_method_weaker_than_a_peers_stands_first_in_red_else_one_calm_line(report):
    lost = PeerCheck("lib_als", "als", "map@10", -0.02, -0.03, -0.01, weaker=True)
    even = replace(lost, difference=0.001, high=0.02, weaker=False)
    text = page(replace(report, peer_checks=(even, lost)))
    assert text.index("Weaker than another library") < text.index("reaches map@10[min]")
    assert "als is ▼ weaker than lib_als: map@10[min] -0.02000 (95% interval -0.03000 to -0.01000)" in text
    calm = page(replace(report, peer_checks=(even,)))
    assert "Weaker than another library" not in calm
    assert "None of our methods is weaker than its counterpart of another library, as far as the data tell" in calm


def test_gains_per_slice_are_drawn_and_every_slice_is_in_the_table(report):
    files = [figure.file for figure in figures_of(report)]
    assert [file for file in files if file.startswith("slices")] == ["slices_activity", "slices_popularity"]
    text = page(report)
    for row in report.slices:
        assert f"{row.mean:.4f}" in text
        assert f"{row.users:,} users" in text


def test_a_hit_is_marked_in_the_list(report, insights):
    text = page(report, insights)
    assert re.search(r'<li class="hit">two <code>2</code> <strong class="mark">● chosen later</strong></li>', text)
    assert "1 of them in this list" in text
    assert re.search(r"<li>three <code>3</code>", text)


def test_what_was_tested_of_stages_and_index_is_shown_where_no_run_was_watched(report):
    gain = StageGain("ours", "popular", "map@10", 0.3, 0.2, 0.1, 0.05, 0.15, 0.001)
    cost = IndexCost("ours", "kmeans", False, "map@10", 0.29, 0.3, -0.01, -0.02, 0.0, 0.04)
    outline = parsed(page(replace(report, stage_gains=(gain,), index_costs=(cost,)))).outline
    start = outline.index("The two stages")
    assert outline[start : start + 3] == ["The two stages", "The index", "Popularity and variety"]


def test_models_that_predict_values_have_no_curve_over_k_and_no_lists(rated, means, tmp_path):
    contenders = {"close": means().fit(rated), "far": means(trust=0.0).fit(rated)}
    predicted = contest(rated, contenders, baseline="far", primary="rmse", resamples=500)
    write_report(predicted, tmp_path)
    outline = parsed((tmp_path / "report.html").read_text()).outline
    assert "Popularity and variety" not in outline
    assert outline[:2] == ["table", "All models"]
    assert "## Catalogue" not in (tmp_path / "report.md").read_text()
    files = [figure.file for figure in figures_of(predicted)]
    assert [file for file in files if not file.startswith("slices")] == []
    for figure in figures_of(predicted):  # less error is better: no slice of the closer model is drawn as worse
        assert "var(--c4)" not in svg(figure.draw, figure.alt)
        assert "var(--c0)" in svg(figure.draw, figure.alt)
