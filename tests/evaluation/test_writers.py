"""A report on disk: JSON that reads back, a page and figures for people, whole files or none."""

import io
import json
from dataclasses import replace

import pytest

from twotower.errors import BadInput
from twotower.evaluation import writers
from twotower.evaluation.benchmark import benchmark
from twotower.evaluation.figures import draw_metric
from twotower.evaluation.report import Report
from twotower.evaluation.tables import markdown, print_report, text_table
from twotower.evaluation.writers import read_report, write_report


@pytest.fixture(scope="module")
def report(split, by_score):
    contenders = {"popular": by_score().fit(split), "noisy | odd": by_score(weight=0.0, noise=1.0).fit(split)}
    return benchmark(split, contenders, baseline="popular", ks=(1, 5), resamples=100)


def test_json_reads_back_the_same(report):
    assert Report.from_json(report.to_json()) == Report.from_json(Report.from_json(report.to_json()).to_json())
    again = Report.from_json(report.to_json())
    assert again.rows == report.rows
    assert again.models == report.models
    assert (again.dataset, again.ks, again.baseline) == (report.dataset, report.ks, report.baseline)


def test_json_of_another_format_is_refused():
    with pytest.raises(BadInput, match="not of format 1"):
        Report.from_json(json.dumps({"format": 99}))


def test_an_undefined_number_is_null_in_json(report):
    model = replace(report.models[0], catalogue={**report.models[0].catalogue, "novelty@10": None})
    changed = replace(report, models=(model, *report.models[1:]))
    assert json.loads(changed.to_json())["models"][0]["catalogue"]["novelty@10"] is None
    assert "| – |" in markdown(changed)


def test_write_makes_all_files_and_leaves_no_others(report, tmp_path):
    figures = ["figures/map_at_k.png", "figures/precision_at_k.png", "figures/novelty.png"]
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
    page = markdown(report)
    assert "Mean average precision, divisor min(k, relevant items)." in page
    assert "Mean of hits / k (some papers call this MAP@k)." in page
    row = report.row("popular", "map@10")
    assert f"| popular | {row.mean:.4f} | {row.low:.4f}–{row.high:.4f} | baseline | – | – |" in page
    assert "known positives are excluded" in page
    assert report.dataset["fingerprint"][:16] in page


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
