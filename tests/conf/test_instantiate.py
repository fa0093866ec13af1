"""Every YAML of `conf/`: it composes, its targets exist, its options are the constructors', and it makes its object."""

import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from twotower.commands.benchmark import split_words
from twotower.commands.tune import split_search
from twotower.config.compose import compose, conf_dir, instantiate, locate
from twotower.config.defaults import defaults_of
from twotower.config.models import listed_model, model_names
from twotower.errors import BadConfig
from twotower.evaluation.families import FAMILIES, is_foreign
from twotower.tuning.search_space import parse

ROOT = Path(__file__).parents[2]
FILES = sorted(conf_dir().rglob("*.yaml"))
JOBS = sorted(conf_dir().glob("*.yaml"))
GROUP_FILES = [path for path in FILES if path.parent != conf_dir()]
CONFIG_OF_COMMAND = {
    "twotower.train": "train",
    "twotower.evaluate": "evaluate",
    "twotower.commands.build_index": "build_index",
    "index/build.py": "build_index",
    "twotower.commands.verify_index": "verify_index",
    "index/verify.py": "verify_index",
    "twotower.commands.tune_index": "tune_index",
    "index/tune.py": "tune_index",
    "twotower.commands.tune": "tune",
    "twotower.commands.benchmark": "benchmark",
    "pipelines/benchmark.py": "benchmark",
    "pipelines/prepare.py": "train",
}
"""Commands that take Hydra overrides, and the configuration that they compose."""
NOT_CONFIG = {"out", "run", "runs_dir"}
"""Settings that a command may read before it composes."""


def name_of(path: Path) -> str:
    return path.relative_to(conf_dir()).with_suffix("").as_posix()


def targets(node: Any, where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every mapping with a `_target_`, at any depth, with the place where it stands."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield where, node
        for key, child in node.items():
            yield from targets(child, f"{where}.{key}" if where else key)


def content(path: Path) -> dict[str, Any]:
    return OmegaConf.to_container(OmegaConf.load(path), resolve=False) or {}


TARGETS = [
    pytest.param(node, id=f"{name_of(path)}:{where or '.'}") for path in FILES for where, node in targets(content(path))
]


@pytest.mark.parametrize("node", TARGETS)
def test_a_target_exists_and_has_the_options_that_the_file_gives(node):
    accepted = inspect.signature(locate(node["_target_"])).parameters
    given = {key for key in node if not key.startswith("_")}
    if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in accepted.values()):
        assert given - set(accepted) == set()


@pytest.mark.parametrize("node", TARGETS)
def test_a_complete_target_makes_an_object_of_its_class(node):
    target = locate(node["_target_"])
    options = {key: value for key, value in node.items() if not key.startswith("_")}
    if "???" in options.values():
        pytest.skip("a mandatory value is the user's to give")
    if any("${data." in str(value) for value in options.values()):
        pytest.skip("a value stands elsewhere in the same file; the file as a whole composes below")
    try:
        inspect.signature(target).bind(**options)
    except TypeError:
        pytest.skip("the code gives the other arguments")
    try:
        made = instantiate(OmegaConf.create(node))
    except BadConfig as error:
        if "twotower[peers]" not in str(error):
            raise
        pytest.skip(str(error))
    assert isinstance(made, target) if inspect.isclass(target) else made is not None


@pytest.mark.parametrize("name", model_names())
def test_a_search_tries_several_values_of_real_options(name):
    listed = listed_model(name)
    assert set(listed.usual()) == set(listed.search)
    assert all(several(values) for values in listed.search.values())


@pytest.mark.parametrize("node", [t for t in TARGETS if not t.id.startswith("data/")])
def test_a_file_says_only_what_differs_from_the_constructors_defaults(node):
    defaults = defaults_of(node["_target_"])
    repeated = {key for key, value in node.items() if key in defaults and defaults[key] == value}
    assert repeated == set()


def several(tried: Any) -> bool:
    """Two different values at least, or a range."""
    return (
        parse({"option": tried}) is not None
        if isinstance(tried, dict)
        else len(set(map(str, tried))) == len(tried) >= 2
    )


@pytest.mark.parametrize("path", JOBS, ids=name_of)
def test_a_job_configuration_composes(path):
    assert compose(config_name=path.stem)


def groups_of(job: Path) -> set[str]:
    """The groups in a job's defaults list."""
    entries = content(job).get("defaults", [])
    return {
        key.removeprefix("override ").lstrip("/").split("@")[0] for e in entries if isinstance(e, dict) for key in e
    }


@pytest.mark.parametrize("path", GROUP_FILES, ids=name_of)
def test_a_group_file_composes_into_the_jobs_that_use_its_group(path):
    group = path.parent.relative_to(conf_dir()).as_posix()
    jobs = [job for job in JOBS if group in groups_of(job)]
    for job in jobs:
        assert compose([f"{group}={path.stem}"], job.stem)
    if not jobs:
        assert content(path)


def documents() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "examples").rglob("*.md"))]


def documented_commands() -> Iterator[Any]:
    """Command lines of the documents that take overrides: (configuration, overrides)."""
    pattern = re.compile(r"python (?:-m )?(" + "|".join(map(re.escape, CONFIG_OF_COMMAND)) + r")([^`\n#|]*)")
    for path in documents():
        for command, rest in pattern.findall(path.read_text().replace("\\\n", " ")):
            words = shlex.split(rest)
            overrides = [w for w in words if "=" in w and not w.startswith("-") and w.split("=")[0] not in NOT_CONFIG]
            overrides = split_search(overrides)[0] if command == "twotower.commands.tune" else overrides
            if command in ("twotower.commands.benchmark", "pipelines/benchmark.py"):
                overrides = split_words(overrides)[0]
            if overrides:
                yield pytest.param(CONFIG_OF_COMMAND[command], overrides, id=f"{path.name}:{' '.join(overrides)}")


@pytest.mark.parametrize(("config_name", "overrides"), documented_commands())
def test_a_documented_command_composes(config_name, overrides):
    assert compose(overrides, config_name)


def test_a_documented_command_with_a_slip_would_be_found():
    with pytest.raises(BadConfig, match="no-such-data"):
        compose(["data=no-such-data"])


@pytest.mark.parametrize("name", model_names())
def test_a_model_says_what_family_it_is_of(name):
    family = listed_model(name).family
    assert family in FAMILIES
    assert is_foreign(family) == (name not in ("two_tower", "two_stage", "two_stage_network"))
