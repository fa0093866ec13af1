"""Figures of the page: SVG that uses the page's colours only."""

import re
from xml.etree import ElementTree

from twotower.reports.figures import PAGE, svg
from twotower.reports.page import figures_of


def test_the_figures_of_the_page_use_its_colours_only(report, insights):
    for figure in figures_of(report, insights):
        text = svg(figure.draw, figure.alt)
        ElementTree.fromstring(text.replace("xlink:", ""))
        assert "var(--c" in text or figure.file.startswith("slices")  # grey where nothing was told apart
        assert "var(--soft)" in text
        assert not [stand_in for stand_in in (PAGE.ink, PAGE.soft, *PAGE.series) if stand_in in text]
        assert set(re.findall(r"#[0-9a-f]{6}\b", text)) <= {"#000000"}  # of paths that are clipped away or unfilled


def test_a_figure_brings_no_ids_of_matplotlib_and_says_what_it_shows():
    text = svg(lambda axes, look: axes.plot([0, 1], color=look.ink), 'a < b & "c"')
    assert re.match(r'<svg role="img" aria-label="a &lt; b &amp; &quot;c&quot;" viewBox="[^"]*">', text)
    assert re.findall(r' id="(?:figure|axes|patch|text|line2d)', text) == []
    assert "DejaVu" not in text
    assert "metadata" not in text
    assert "var(--ink)" in text
