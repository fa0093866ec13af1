"""A report on disk: JSON that reads back, a page and figures for people, whole files or none."""

import io
import json
from dataclasses import replace

import pytest

from twotower.errors import BadInput
from twotower.evaluation.contest import contest
from twotower.evaluation.report import Report
from twotower.evaluation.results import Calibration
from twotower.reports import writers
from twotower.reports.markdown import markdown
from twotower.reports.page import page
from twotower.reports.static_figures import draw_metric
from twotower.reports.tables import print_report, text_table
from twotower.reports.writers import read_report, write_report


@pytest.fixture(scope="module")
def report(split, by_score):
    contenders = {"popular": by_score().fit(split), "noisy | odd": by_score(weight=0.0, noise=1.0).fit(split)}
    found = contest(
        split, contenders, baseline="popular", ks=(1, 5), resamples=100,
        counterparts={"popular": "noisy | odd"}, builds_on={"noisy | odd": "popular"},
    )  # fmt: skip
    return replace(found, calibration=Calibration("RankNet", (0.1, 0.4), (0.0, 0.5), (6, 2), 0.1))


def test_json_reads_back_the_same(report):
    assert Report.from_json(report.to_json()) == Report.from_json(Report.from_json(report.to_json()).to_json())
    again = Report.from_json(report.to_json())
    for name in ("slices", "gains", "peer_checks", "stage_gains", "calibration", "index_costs"):
        assert getattr(again, name) == getattr(report, name)
    assert again.rows == report.rows
    assert again.models == report.models
    assert (again.dataset, again.ks, again.baseline) == (report.dataset, report.ks, report.baseline)


def test_json_of_another_format_is_refused():
    with pytest.raises(BadInput, match=r"of format 99, this version reads \(1, 2, 3, 4\)"):
        Report.from_json(json.dumps({"format": 99}))


def test_a_report_of_format_1_is_still_read_and_written_as_a_page(report):
    facts = json.loads(report.to_json())
    for name in ("slices", "gains", "peer_checks", "stage_gains", "calibration", "memory_apart"):
        del facts[name]
    for model in facts["models"]:
        del model["family"], model["seeds"]
    for row in facts["rows"]:
        del row["sd"]
    old = Report.from_json(json.dumps({**facts, "format": 1}))
    assert old.rows == report.rows
    assert "popular" in page(old)
    assert "popular" in markdown(old)


def test_families_are_read_from_a_report_of_format_2_which_calls_them_kinds(report):
    facts = json.loads(report.to_json())
    for model in facts["models"]:
        model["kind"] = model.pop("family")
    assert Report.from_json(json.dumps({**facts, "format": 2})).models == report.models


def test_an_undefined_number_is_null_in_json(report):
    model = replace(report.models[0], catalogue={**report.models[0].catalogue, "novelty@10": None})
    changed = replace(report, models=(model, *report.models[1:]))
    assert json.loads(changed.to_json())["models"][0]["catalogue"]["novelty@10"] is None
    assert "| – |" in markdown(changed)


def test_write_makes_all_files_and_leaves_no_others(report, tmp_path):
    drawn = ("map_at_k", "precision_at_k", "novelty")
    figures = [f"figures/{name}.png" for name in drawn]
    names = [*figures, "report.md", "report.html", "report.json"]
    assert write_report(report, tmp_path / "run") == [tmp_path / "run" / name for name in names]
    assert {p.relative_to(tmp_path / "run").as_posix() for p in (tmp_path / "run").rglob("*.*")} == set(names)
    assert read_report(tmp_path / "run").rows == report.rows
    assert (tmp_path / "run" / "figures/map_at_k.png").read_bytes().startswith(b"\x89PNG")


def test_a_failed_write_keeps_the_old_report(report, tmp_path, monkeypatch):
    write_report(report, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}

    def half_written(report, metric, path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(writers, "draw_metric", half_written)
    with pytest.raises(OSError, match="disk full"):
        write_report(report, tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


def test_the_page_names_both_metrics_called_map_and_every_figure_in_it(report):
    text = markdown(report)
    assert "Mean average precision, divisor min(k, relevant items)." in text
    assert "Mean of hits / k (some papers call this MAP@k)." in text
    row = report.row("popular", "map@10")
    assert f"| popular | {row.mean:.4f} | {row.low:.4f}–{row.high:.4f} | baseline | – | – | – |" in text
    assert "known positives excluded" in text
    assert report.dataset["fingerprint"][:16] in text


def test_markdown_tells_peers_stages_slices_gains_and_calibration(report):
    text = markdown(report)
    worse = report.peer_checks[0].weaker
    assert text.index("None of our methods is weaker" if not worse else "Weaker than another library") < text.index(
        "Data: "
    )
    (at_10, recall) = report.stage_gains
    assert f"noisy | odd beside popular: map@10[min] {at_10.before_mean:.4f} to {at_10.mean:.4f}" in text
    assert recall.metric == "recall@10"
    assert "### map@10[min] by activity" in text
    assert "over 8 pairs of user and candidate; the expected calibration error of 0.10000" in text
    assert "| 0.40000 | 0.50000 | 2 |" in text
    for head in ("coverage", "Gini", "novelty, bits", "popularity bias"):
        assert head in text


def test_every_table_row_has_as_many_cells_as_its_header(report):
    width = None
    for line in markdown(report).splitlines():
        if not line.startswith("|"):
            width = None
            continue
        cells = line.replace(r"\|", "").count("|")
        width = width or cells
        assert cells == width, line


def test_the_terminal_table_is_aligned_and_best_first(report):
    lines = text_table(report).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert [line.split("  ")[0].strip() for line in lines[2:]] == [model.name for model in report.ranking()]
    stream = io.StringIO()
    print_report(report, stream)
    assert stream.getvalue().startswith("toy · leave_last(n=1) · ")
    assert text_table(report) in stream.getvalue()


def test_more_models_than_colours_are_drawn(report, tmp_path):
    models = [replace(report.models[0], name=f"m{at}") for at in range(10)]
    rows = [replace(row, model=model.name) for model in models for row in report.rows if row.model == "popular"]
    many = replace(report, models=tuple(models), rows=tuple(rows), baseline=None)
    draw_metric(many, "ndcg", tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000
    assert "No baseline was named" in markdown(many)
