"""The walk-through of examples/own_data, typed as its README has it, ends with a list for its customer."""

import contextlib
import importlib
import io
import json
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "examples" / "own_data" / "README.md"
MODULES = {"pipelines/prepare.py": "twotower.commands.prepare"}


def commands() -> list[tuple[str, list[str]]]:
    """Module and words of every command line of the README."""
    lines = re.findall(r"^python (?:-m )?(\S+) (.+)$", README.read_text(), re.MULTILINE)
    return [module_and_words(module, shlex.split(words)) for module, words in lines]


def module_and_words(module: str, words: list[str]) -> tuple[str, list[str]]:
    """`python -m twotower build-index …` calls the module of that command."""
    if module == "twotower":
        module, words = f"twotower.commands.{words[0].replace('-', '_')}", words[1:]
    return MODULES.get(module, module), words


def elsewhere(module: str, words: list[str], folder: Path) -> list[str]:
    """The same words with all output in `folder` and a training of one epoch."""
    own = [str(ROOT / w) if w.startswith("examples/") else w.replace("=examples/", f"={ROOT}/examples/") for w in words]
    more = {
        "twotower.commands.prepare": [f"out={folder}/prepared"],
        "twotower.train": [f"runs_dir={folder}", f"prepared={folder}/prepared", "train.epochs=1", "progress=false"],
        "twotower.commands.build_index": [f"runs_dir={folder}"],
        "twotower.recommend": ["--runs-dir", str(folder), "--json"],
    }
    return [*own, *more[module]]


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What each command of the README printed, in order, by module."""
    folder, said = tmp_path_factory.mktemp("own"), []
    for module, words in commands():
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            status = importlib.import_module(module).main(elsewhere(module, words, folder))
        assert status == 0, (module, words)
        said.append((module, words, out.getvalue()))
    return said


def test_the_readme_walks_from_prepare_to_recommend():
    assert [module.rpartition(".")[2] for module, _ in commands()] == [
        "prepare", "train", "build_index", "recommend", "recommend",
    ]  # fmt: skip


def test_the_customer_gets_ten_articles_of_the_shop(printed):
    catalogue = {json.loads(line)["article"] for line in (README.parent / "articles.jsonl").open()}
    events = [line.split(",") for line in (README.parent / "events.csv").read_text().splitlines()]
    seen = {article for _, customer, article, *_ in events if customer == "U042"}
    known, new = (json.loads(out) for module, _, out in printed if module == "twotower.recommend")
    for answer, touched in ((known, seen), (new, {"A068", "A062"})):
        items = [row["item"] for row in answer["items"]]
        assert len(set(items)) == 10
        assert set(items) <= catalogue - touched
