"""Prepared data are used only if they are what reading the source now would give."""

import json
import os
import shutil
from pathlib import Path

import pytest

from twotower import prepared
from twotower.config import compose, plain
from twotower.prepared import load_prepared, read_source, save_prepared

SHOP = Path(__file__).parents[1] / "examples" / "own_data"


@pytest.fixture
def shop(tmp_path) -> Path:
    """A copy of the example's files that the test may change."""
    return Path(shutil.copytree(SHOP, tmp_path / "shop"))


@pytest.fixture
def data(shop) -> dict:
    return plain(compose(["data=own", f"data.source.path={shop / 'shop.yaml'}"]))["data"]


@pytest.fixture
def folder(data, tmp_path) -> Path:
    save_prepared(read_source(data), data, tmp_path / "prepared")
    return tmp_path / "prepared"


@pytest.fixture
def reads(monkeypatch) -> list:
    """One entry for each time that a source is read."""
    found: list = []
    read = prepared.read_source
    monkeypatch.setattr(prepared, "read_source", lambda data: found.append(data) or read(data))
    return found


def test_the_same_settings_take_the_files(data, folder, reads):
    dataset = load_prepared(data, folder)
    assert reads == []
    assert dataset.fingerprint() == read_source(data).fingerprint()


def test_nothing_prepared_reads_the_source(data, tmp_path, reads):
    assert len(load_prepared(data, tmp_path / "nowhere").interactions)
    assert len(reads) == 1


def test_other_positives_read_the_source(data, folder, reads):
    bought = load_prepared({**data, "positives": {"min_value": None, "kinds": ["buy"]}}, folder)
    assert len(reads) == 1
    assert len(bought.interactions) < len(load_prepared(data, folder).interactions)


def test_another_option_of_the_source_reads_it(data, folder, reads):
    load_prepared({**data, "source": {**data["source"], "on_bad_rows": "drop"}}, folder)
    assert len(reads) == 1


def test_another_split_takes_the_files(data, folder, reads):
    load_prepared({**data, "split": {"_target_": "twotower.data.splits.LeaveLast", "n": 2}}, folder)
    assert reads == []


def test_files_that_changed_since_are_read_again(data, folder, shop, reads):
    before = load_prepared(data, folder)
    events = shop / "events.csv"
    events.write_text(events.read_text() + "2024-06-30T00:00:00Z,U001,A001,view,1\n")
    assert len(load_prepared(data, folder).interactions) == len(before.interactions) + 1
    assert len(reads) == 1


def test_a_touched_file_is_read_again_even_if_its_size_is_the_same(data, folder, shop, reads):
    os.utime(shop / "events.csv", ns=(1, 1))
    load_prepared(data, folder)
    assert len(reads) == 1


def test_a_half_written_folder_is_not_used(data, folder, reads):
    (folder / prepared.RECIPE).unlink()
    load_prepared(data, folder)
    assert len(reads) == 1


def test_the_recipe_goes_first_and_comes_last(data, folder, monkeypatch):
    """A kill while the tables are written leaves a folder without a recipe."""

    def killed(self, directory):
        assert not (directory / prepared.RECIPE).exists()
        raise KeyboardInterrupt

    dataset = read_source(data)
    monkeypatch.setattr(type(dataset), "save", killed)
    with pytest.raises(KeyboardInterrupt):
        save_prepared(dataset, data, folder)
    assert not (folder / prepared.RECIPE).exists()


def test_the_recipe_is_for_people_to_read(data, folder):
    recipe = json.loads((folder / prepared.RECIPE).read_text())
    assert recipe["source"]["path"].endswith("shop.yaml")
    assert recipe["positives"] == {"min_value": None, "kinds": None}
