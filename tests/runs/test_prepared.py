"""Prepared data are used only if they are what reading the source now would give."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from twotower.commands import prepare, train
from twotower.config.build import make_split, read_source
from twotower.config.compose import compose, plain
from twotower.data.interactions import Interactions
from twotower.errors import BadConfig, BundleError
from twotower.features.encoded import Bags
from twotower.models.two_tower.estimator import TwoTower
from twotower.models.two_tower.features import TowerFeatures
from twotower.models.two_tower.options import FeatureOptions, TrainOptions
from twotower.models.two_tower.prepared_inputs import PreparedInputs
from twotower.runs import prepared
from twotower.runs.prepared import load_inputs, load_prepared, save_inputs, save_prepared

SHOP = Path(__file__).parents[2] / "examples" / "own_data"


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
    load_prepared({**data, "split": {"_target_": "twotower.data.splitters.LeaveLast", "n": 2}}, folder)
    assert reads == []


def test_files_that_changed_since_are_read_again(data, folder, shop, reads):
    before = load_prepared(data, folder)
    events = shop / "events.csv"
    events.write_text(events.read_text() + "2024-06-30T00:00:00Z,U001,A001,view,1\n")
    assert len(load_prepared(data, folder).interactions) == len(before.interactions) + 1
    assert len(reads) == 1


@pytest.mark.parametrize("place", ["raw/2024", "../elsewhere"])
def test_a_file_in_another_folder_than_its_yaml_is_read_again_when_it_changed(data, shop, tmp_path, place, reads):
    events, options = shop / place / "events.csv", shop / "shop.yaml"
    events.parent.mkdir(parents=True)
    (shop / "events.csv").rename(events)
    options.write_text(options.read_text().replace("path: events.csv", f"path: {place}/events.csv"))
    save_prepared(read_source(data), data, tmp_path / "prepared")
    whole = load_prepared(data, tmp_path / "prepared")
    assert reads == []
    events.write_text("".join(events.read_text().splitlines(keepends=True)[:-1]))
    assert len(load_prepared(data, tmp_path / "prepared").interactions) == len(whole.interactions) - 1
    assert len(reads) == 1


def test_a_file_beside_them_that_nobody_reads_changes_nothing(data, folder, shop, reads):
    (shop / "notes.txt").write_text("ask about the prices\n")
    load_prepared(data, folder)
    assert reads == []


def test_a_touched_file_of_the_same_content_is_not_read_again(data, folder, shop, reads):
    os.utime(shop / "events.csv", ns=(1, 1))
    load_prepared(data, folder)
    assert reads == []


def test_other_content_of_the_same_size_and_time_is_read_again(data, folder, shop, reads):
    events = shop / "events.csv"
    text, then = events.read_text(), events.stat()
    events.write_text(text.replace("U001", "U002", 1))
    os.utime(events, ns=(then.st_atime_ns, then.st_mtime_ns))
    load_prepared(data, folder)
    assert len(reads) == 1
    events.write_text(text)
    assert len(reads) == 1


def test_a_folder_of_somebody_else_is_not_prepared_into(data, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "items.parquet").write_text("precious")
    with pytest.raises(BadConfig, match=r"a folder that twotower did not make.*out=<another folder>"):
        save_prepared(read_source(data), data, tmp_path / "mine")
    assert (tmp_path / "mine" / "items.parquet").read_text() == "precious"


def test_a_prepared_folder_with_a_file_of_theirs_stays(data, folder):
    (folder / "notes.txt").write_text("precious")
    with pytest.raises(BadConfig, match=r"notes\.txt, which `prepare` did not write"):
        save_prepared(read_source(data), data, folder)
    assert (folder / "notes.txt").exists()


def test_preparing_again_keeps_the_encoded_inputs(data, folder):
    (folder / "inputs").mkdir()
    (folder / "inputs" / "x").touch()
    save_prepared(read_source(data), data, folder)
    assert (folder / "inputs" / "x").exists()


def test_a_half_written_folder_is_not_used(data, folder, reads):
    (folder / prepared.RECIPE).unlink()
    load_prepared(data, folder)
    assert len(reads) == 1


def test_the_recipe_goes_first_and_comes_last(data, folder, monkeypatch):
    """A kill while the tables are written leaves the former folder whole."""

    def killed(self, directory):
        assert not (directory / prepared.RECIPE).exists()
        raise KeyboardInterrupt

    before = load_prepared(data, folder).fingerprint()

    dataset = read_source(data)
    monkeypatch.setattr(type(dataset), "save", killed)
    with pytest.raises(KeyboardInterrupt):
        save_prepared(dataset, data, folder)
    assert load_prepared(data, folder).fingerprint() == before


def test_the_recipe_is_for_people_to_read(data, folder):
    recipe = json.loads((folder / prepared.RECIPE).read_text())
    assert recipe["source"]["path"].endswith("shop.yaml")
    assert recipe["positives"] == {"min_value": None, "kinds": None}


@pytest.fixture
def settings(shop) -> dict:
    words = ["data=own", f"data.source.path={shop / 'shop.yaml'}", "train.epochs=1", "progress=false"]
    return plain(compose(words))


@pytest.fixture
def split(settings):
    return make_split(settings, read_source(settings["data"]))


def arrays_of(inputs: PreparedInputs) -> Iterator[np.ndarray]:
    for part in (inputs.training, inputs.validation, inputs.test):
        for table in (part.users, part.profiles, part.items):
            yield table.continuous
            for codes in table.codes.values():
                yield from (
                    (codes.codes.values, codes.codes.offsets, codes.weights) if isinstance(codes, Bags) else [codes]
                )
        yield part.identities


def test_inputs_come_back_as_they_were_learnt(settings, split, tmp_path):
    saved = save_inputs(split, settings, tmp_path)
    loaded = load_inputs(split, settings, tmp_path)
    fresh = PreparedInputs.of(split, FeatureOptions(), 1)
    assert loaded.features.options == fresh.features.options
    moments = [(p.user.tolist(), p.as_of.tolist()) for p in (saved.profiles, loaded.profiles, fresh.profiles)]
    assert moments[0] == moments[1] == moments[2]
    assert len(moments[0][0]) > 1
    for theirs in (saved, loaded):
        pairs = list(zip(arrays_of(theirs), arrays_of(fresh), strict=True))
        assert len(pairs) > 20
        assert all(np.array_equal(a, b) for a, b in pairs)


def test_inputs_without_profiles_come_back_without(settings, split, tmp_path):
    bare = {**settings, "features": {**settings["features"], "profiles": False}}
    save_inputs(split, bare, tmp_path)
    loaded = load_inputs(split, bare, tmp_path)
    assert loaded.profiles is None
    assert len(loaded.training.profiles) == 1


@pytest.mark.parametrize(
    ("group", "option"),
    [
        ("features", {"min_count": 2}),
        ("towers", {"identity_min_count": 3}),
        ("protocol", {"_target_": "twotower.data.splitters.LeaveLast", "n": 2}),
    ],
)
def test_inputs_of_other_settings_are_not_taken(settings, split, tmp_path, group, option):
    save_inputs(split, settings, tmp_path)
    assert load_inputs(split, {**settings, group: {**settings.get(group, {}), **option}}, tmp_path) is None
    assert load_inputs(split, settings, tmp_path) is not None
    assert load_inputs(split, settings, tmp_path / "elsewhere") is None


def test_the_cut_lies_beside_the_inputs(settings, split, tmp_path):
    save_inputs(split, settings, tmp_path)
    parts = {
        name: Interactions.load(tmp_path / "inputs" / f"{name}.parquet") for name in ("train", "validation", "test")
    }
    assert np.array_equal(parts["train"].item, split.train.item)
    assert np.array_equal(parts["validation"].item, split.validation.target.item)
    assert np.array_equal(parts["test"].user, split.test.target.user)


def test_a_killed_preparation_leaves_the_former_inputs(settings, split, tmp_path, monkeypatch):
    save_inputs(split, settings, tmp_path / "p")

    def killed(self, directory):
        (directory / "half").write_text("")
        raise KeyboardInterrupt

    monkeypatch.setattr(PreparedInputs, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        save_inputs(split, settings, tmp_path / "p")
    assert load_inputs(split, settings, tmp_path / "p") is not None
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["inputs"]


def test_damaged_inputs_are_named_with_the_remedy(settings, split, tmp_path):
    save_inputs(split, settings, tmp_path)
    table = tmp_path / "inputs" / "training" / "items.safetensors"
    table.write_bytes(table.read_bytes()[:50])
    with pytest.raises(BundleError, match=r"items.safetensors is damaged: bytes 50, .* prepare it again"):
        load_inputs(split, settings, tmp_path)


@pytest.mark.parametrize("refit", [False, True])
def test_prepared_inputs_give_the_same_towers_and_are_not_learnt_again(settings, split, tmp_path, monkeypatch, refit):
    training = TrainOptions(epochs=2, batch_size=64, refit=refit)
    usual = TwoTower(training=training).fit(split)
    save_inputs(split, settings, tmp_path)
    if not refit:
        monkeypatch.setattr(TowerFeatures, "fit", None)
        monkeypatch.setattr(TowerFeatures, "training_inputs", None)
        monkeypatch.setattr(TowerFeatures, "serving_inputs", None)
    same = TwoTower(training=training).fit(split, prepared=load_inputs(split, settings, tmp_path))
    assert np.array_equal(usual.item_vectors, same.item_vectors)
    queries = split.test.queries()
    assert np.array_equal(usual.user_vectors(queries), same.user_vectors(queries))


def test_the_commands_prepare_and_train(settings, shop, tmp_path, capsys):
    words = ["data=own", f"data.source.path={shop / 'shop.yaml'}"]
    assert prepare.main([*words, f"out={tmp_path / 'p'}", "inputs=true"]) == 0
    assert "profiles learnt and all inputs encoded" in capsys.readouterr().out
    small = ["train.epochs=1", "progress=false", f"prepared={tmp_path / 'p'}", f"runs_dir={tmp_path / 'runs'}"]
    status = train.main([*words, *small])
    assert status == 0, capsys.readouterr().err
    assert "; prepared inputs" in capsys.readouterr().out
