"""Whatever befalls a file of a prepared set, an input, a checkpoint or a run: the same data, or an error in words."""

import json
import shutil
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from twotower.config.build import make_split, read_source
from twotower.config.compose import compose, instantiate, plain
from twotower.errors import TwoTowerError
from twotower.nn.distributed import ALONE
from twotower.runs.bundle import Bundle
from twotower.runs.prepared import load_inputs, load_prepared, save_inputs, save_prepared
from twotower.runs.publishing import publish_index
from twotower.runs.served_run import ServedRun
from twotower.storage.atomic import sha256_of, sha256_of_json
from twotower.training.checkpoints import open_checkpoint, save_checkpoint

SHOP = Path(__file__).parents[2] / "examples" / "own_data" / "shop.yaml"
HARMS = ("flip", "flip many", "truncate", "empty", "delete", "append", "zero", "swap", "link", "json")


def harm(folder: Path, rng: np.random.Generator) -> str:
    """Damages one file of a folder and says how."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path, how = files[rng.integers(len(files))], HARMS[rng.integers(len(HARMS))]
    content = bytearray(path.read_bytes())
    at = int(rng.integers(max(1, len(content))))
    if how in ("flip", "flip many") and content:
        for place in (at, *rng.integers(len(content), size=20 if how == "flip many" else 0)):
            content[place] ^= 1 << int(rng.integers(8))
    elif how == "truncate":
        del content[at:]
    elif how == "empty":
        content.clear()
    elif how == "append":
        content += rng.bytes(9)
    elif how == "zero":
        content[at : at + 64] = bytes(len(content[at : at + 64]))
    elif how == "json":
        content = bytearray(json.dumps([None, {}, [], "x", 3][rng.integers(5)]).encode())
    if how in ("delete", "link", "swap"):
        other = files[rng.integers(len(files))]
        content = bytearray(other.read_bytes()) if how == "swap" else content
        path.unlink()
    if how == "link":
        elsewhere = folder.parent / "elsewhere"
        elsewhere.write_bytes(content)
        path.symlink_to(elsewhere)
    elif how != "delete":
        path.write_bytes(content)
    return f"{how} {path.relative_to(folder)}"


def shop() -> dict:
    words = ["data=own", f"data.source.path={SHOP}", "features.profiles=false"]
    return plain(compose(words))


def prepared(folder: Path) -> Callable[[Path], object]:
    data = shop()["data"]
    save_prepared(read_source(data), data, folder)
    return lambda place: load_prepared(data, place).fingerprint()


def inputs(folder: Path) -> Callable[[Path], object]:
    settings = shop()
    split = make_split(settings, read_source(settings["data"]))
    save_inputs(split, settings, folder)
    made = load_inputs(split, settings, folder)

    def content(place: Path) -> object:
        found = load_inputs(split, settings, place) or made  # where there is none, it is made again
        tables = [found.training.users, found.training.items, found.validation.items, found.test.users]
        return [content_of(table) for table in tables]

    return content


def content_of(value: object) -> object:
    """Everything in a tree of values and arrays, comparable."""
    if isinstance(value, np.ndarray):
        return value.tobytes()
    if isinstance(value, dict):
        return {name: content_of(child) for name, child in value.items()}
    if isinstance(value, list | tuple):
        return [content_of(child) for child in value]
    if is_dataclass(value):
        return {field.name: content_of(getattr(value, field.name)) for field in fields(value)}
    return value


def checkpoint(folder: Path) -> Callable[[Path], object]:
    torch.manual_seed(0)
    state = {"module/a": torch.randn(9, 4), "optimizer/0/1/step": torch.tensor(3.0), "best/a": torch.randn(9, 4)}
    save_checkpoint(folder, state, {"progress": json.dumps({"epoch": 3})}, lambda name: None, ALONE)

    def content(place: Path) -> object:
        saved = open_checkpoint(place)
        return saved and (saved.facts, {name: tensor.tolist() for name, tensor in saved.whole.items()})

    return content


def run(small_run) -> Callable[[Path], object]:
    bundle = Bundle.open("small", small_run.runs_dir)
    publish_index(bundle, instantiate({"_target_": "twotower.ann.kmeans.KMeansIndex"}).build(bundle.item_vectors()), {})

    def content(place: Path) -> object:
        served = ServedRun.open(place)
        return [[p.item for p in served.answer(user, k=10).items] for user in ("u0", "u24", "nobody")]

    return content


NOTHING = {"checkpoint": None}
"""What stands for an absent one, after which a training begins anew."""


@pytest.fixture
def whole(request, tmp_path, small_run):
    """A kind of folder: where it lies, what it holds, and how that is read."""
    if request.param == "run":
        folder, content = small_run.runs_dir / "small", run(small_run)
    else:
        folder = tmp_path / "whole"
        content = {"prepared": prepared, "inputs": inputs, "checkpoint": checkpoint}[request.param](folder)
    return folder, content(folder), content, NOTHING.get(request.param, content(folder))


def befall(whole, place: Path, seed: int, *, resign: bool = False) -> str:
    """One damage: "same", or "refused", or what should never be."""
    folder, before, content, absent = whole
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(folder, place)
    how = harm(place, np.random.default_rng(seed))
    if resign:
        for manifest in sorted(place.rglob("manifest.json")):
            sign_again(manifest.parent, folder / manifest.parent.relative_to(place))
    try:
        after = content(place)
    except TwoTowerError as error:
        return "refused" if "\n" not in str(error) else f"{how}: several lines: {error}"
    except Exception as error:
        return f"seed {seed}, {how}: {type(error).__name__}: {error}"
    return "same" if after in (before, absent) or resign else f"seed {seed}, {how}: other data"


def sign_again(directory: Path, before: Path) -> None:
    """Writes a manifest that fits the files, as whoever hands out a foreign run can."""
    facts = json.loads((before / "manifest.json").read_text())
    present = {name: directory / name for name in facts["files"] if (directory / name).is_file()}
    sizes = {name: {"size": path.stat().st_size, "sha256": sha256_of(path)} for name, path in present.items()}
    signed = {**{name: value for name, value in facts.items() if name != "sha256"}, "files": sizes}
    (directory / "manifest.json").write_text(json.dumps({**signed, "sha256": sha256_of_json(signed)}))


KINDS = ("prepared", "inputs", "checkpoint", "run")


@pytest.mark.parametrize("n", [50, pytest.param(500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("whole", KINDS, indirect=True)
def test_a_damaged_file_gives_the_same_data_or_an_error_in_words(whole, tmp_path, n):
    outcomes = [befall(whole, tmp_path / "damaged", seed) for seed in range(n)]
    assert set(outcomes) <= {"same", "refused"}, [text for text in outcomes if text not in ("same", "refused")]
    assert outcomes.count("refused") > n // 4


@pytest.mark.parametrize("n", [50, pytest.param(500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("whole", ["prepared", "inputs", "run"], indirect=True)
def test_a_damaged_file_whose_digest_was_rewritten_gives_no_traceback(whole, tmp_path, n):
    outcomes = [befall(whole, tmp_path / "damaged", seed, resign=True) for seed in range(n)]
    assert set(outcomes) <= {"same", "refused"}, [text for text in outcomes if text not in ("same", "refused")]


@pytest.mark.parametrize("whole", ["run"], indirect=True)
@pytest.mark.parametrize("seed", [96, 230, 297, 326, 363, 460])
def test_what_names_things_that_are_not_there_is_refused_when_it_is_opened(whole, tmp_path, seed):
    """Popularity of another length, members beyond the catalogue, codes beyond their field, a configuration of 3."""
    assert befall(whole, tmp_path / "damaged", seed, resign=True) in ("same", "refused")
