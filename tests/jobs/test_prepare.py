"""The prepare job: facts on the screen, Parquet in the folder, one line where something is wrong."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from twotower.commands.prepare import main
from twotower.data.dataset import Dataset
from twotower.data.sources.tabular import from_yaml

SHOP = Path(__file__).parents[2] / "examples" / "own_data"
OWN = ("data=own", f"data.source.path={SHOP / 'shop.yaml'}")


def test_own_data_is_saved_and_described(tmp_path, capsys):
    assert main([*OWN, f"out={tmp_path / 'shop'}"]) == 0
    printed = capsys.readouterr().out
    source = from_yaml(SHOP / "shop.yaml").load()
    assert Dataset.load(tmp_path / "shop").fingerprint() == source.fingerprint()
    for part in ("users", "60 (60 with events)", "kind buy", "birth_year", "13.33% missing", source.fingerprint()):
        assert part in printed


def test_positives_are_chosen_before_saving(tmp_path):
    assert main([*OWN, "data.positives.kinds=[buy]", f"out={tmp_path}"]) == 0
    bought = Dataset.load(tmp_path).interactions
    assert {bought.kinds[k] for k in bought.kind} == {"buy"}


def test_damaged_rows_stop_the_job_or_are_dropped_counted_and_written_aside(tmp_path, capsys, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    shop = shutil.copytree(SHOP, tmp_path / "shop")
    with (shop / "events.csv").open("a") as file:
        file.write("2024-06-30T00:00:00Z,U001,A999,view,1\n")
    words = ["data=own", "data.source.path=shop/shop.yaml", "out=prepared"]
    assert main(words) == 1
    told = capsys.readouterr().err
    assert "shop/events.csv: row 975: article 'A999' is not listed in articles.jsonl; add it to" in told
    assert told.count("\n") == 1
    assert not (tmp_path / "prepared").exists()

    assert main([*words, "data.source.on_bad_rows=drop"]) == 0
    assert "bad rows dropped: 1" in caplog.text
    assert len(Dataset.load(tmp_path / "prepared").interactions) == 974
    assert pd.read_csv(tmp_path / "data-cache/dropped/events.csv.dropped.csv")["row"].tolist() == [975]


@pytest.mark.parametrize(
    "words, says",
    [
        (["data=nix"], "nix"),
        (["data=own"], "data.source.path"),
        (["data=own", "data.source.path=absent.yaml"], "absent.yaml: no such file"),
        (["--fast"], "takes KEY=VALUE"),
        (["ml-1m"], "takes KEY=VALUE"),
    ],
)
def test_what_is_wrong_is_one_line(words, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 1
    told = capsys.readouterr().err
    assert says in told
    assert told.count("\n") == 1


def test_help_names_the_data_sets(capsys):
    assert main(["--help"]) == 0
    assert "ml-latest-small" in capsys.readouterr().out
