"""The rules of the house, read off the syntax trees: who may import whom, what is never called, how long things are."""

import ast
import functools
import graphlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIBRARY = sorted((ROOT / "twotower").rglob("*.py"))
JOBS = sorted(p for folder in ("pipelines", "index", "examples") for p in (ROOT / folder).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

FLOORS = {
    0: {"twotower", "errors", "allowed", "shortcuts", "types", "protocols", "topk", "text", "cores", "storage"},
    1: {"data", "features", "nn", "ann", "metrics"},
    2: {"training", "stages", "evaluation"},
    3: {"models", "tuning"},
    4: {"config"},
    5: {"runs"},
    6: {"jobs", "reports", "benchmarks"},
    7: {"commands", "testing", "train", "evaluate", "recommend", "__main__"},
}
"""Unit (package or root module) by floor; an import points to a lower floor or stays in its own unit."""
DOORS = {("features", "data"), ("nn", "features")}
"""Imports that are also allowed between two units of one floor, one way only."""
OPEN_FLOORS = {0, 7}
"""Floors whose units may import each other (in no circle)."""

FLOOR_OF = {unit: floor for floor, units in FLOORS.items() for unit in units}
CONFIG_FLOOR = 4
"""Below this floor nothing sees a config object."""
CODE_RUNNERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
IMPORTED_AS = {"lightfm-next": "lightfm"}
LONGEST_FUNCTION, LONGEST_FILE = 50, 300


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def unit_of(module: str) -> str:
    """`twotower.data.ids` belongs to `data`, `twotower` to itself."""
    return module.split(".")[1] if "." in module else module


def imports_of(tree: ast.AST) -> Iterator[tuple[str, list[str]]]:
    """Absolute module names with the names taken from them, those inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import of {node.module}: write it in full"
            yield str(node.module), [alias.name for alias in node.names]


def wrong_directions(module: str, source: str) -> list[str]:
    """Imports that point up, sideways without a door, or to a unit that the table does not know."""
    own, found = unit_of(module), []
    if own not in FLOOR_OF:
        return [f"{module}: add {own!r} to the table of floors"]
    for name, _ in imports_of(ast.parse(source)):
        if name.split(".")[0] != "twotower" or unit_of(name) == own:
            continue
        other = unit_of(name)
        same_floor = FLOOR_OF.get(other) == FLOOR_OF[own]
        allowed = (own, other) in DOORS or FLOOR_OF[own] in OPEN_FLOORS if same_floor else True
        if other not in FLOOR_OF or FLOOR_OF[other] > FLOOR_OF[own] or not allowed:
            found.append(f"{module} (floor {FLOOR_OF[own]}) imports {name} (floor {FLOOR_OF.get(other, 'unknown')})")
    return found


def dangerous_calls(source: str) -> list[str]:
    """Everything that could run code out of a file or a string."""
    tree, found = ast.parse(source), []
    found += [f"import {name}" for name, _ in imports_of(tree) if name.split(".")[0] in CODE_RUNNERS]
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        options = {k.arg: ast.unparse(k.value) for k in call.keywords}
        if name in {"eval", "exec", "yaml.load", "yaml.unsafe_load"} or name.endswith(("read_pickle", "to_pickle")):
            found.append(f"{name}(…)")
        if name == "torch.load" and options.get("weights_only") != "True":
            found.append("torch.load without weights_only=True")
        if options.get("allow_pickle", "False") != "False":
            found.append(f"{name}(…, allow_pickle={options['allow_pickle']})")
    return found


def violations(rule: Callable[[Path], list[str]], paths: list[Path]) -> dict[str, list[str]]:
    """Every file that breaks a rule, with what it breaks."""
    return {str(path.relative_to(ROOT)): broken for path in paths if (broken := rule(path))}


def test_imports_point_down_or_stay_in_the_own_unit():
    assert violations(lambda path: wrong_directions(module_name(path), path.read_text()), LIBRARY) == {}


@pytest.mark.parametrize(
    ("module", "line", "floor"),
    [
        ("twotower.data.ids", "from twotower.models.factorization.als import ALS", "3"),
        ("twotower.data.ids", "def f():\n    import twotower.nn", "1"),
        ("twotower.features.markov", "from twotower.nn import losses", "1"),
        ("twotower.stages.recommender", "from twotower.config.compose import compose", "4"),
        ("twotower.types", "import twotower.novelty", "unknown"),
    ],
)
def test_a_planted_upward_sideways_or_unknown_import_is_found(module, line, floor):
    found = wrong_directions(module, f'"""A module."""\n{line}\n')
    assert len(found) == 1
    assert found[0].endswith(f"(floor {floor})")


def test_a_module_that_the_table_does_not_know_is_found():
    assert wrong_directions("twotower.novelty.thing", "") == [
        "twotower.novelty.thing: add 'novelty' to the table of floors"
    ]


@pytest.mark.parametrize(
    "line",
    ["import pickle", "from joblib import load", "eval(text)", "torch.load(p)", "torch.load(p, weights_only=False)",
     "np.load(p, allow_pickle=True)", "pd.read_pickle(p)", "yaml.load(text)"],
)  # fmt: skip
def test_a_planted_dangerous_call_is_found(line):
    assert len(dangerous_calls(line)) == 1


@pytest.mark.parametrize("line", ["model.eval()", "np.load(p, allow_pickle=False)", "torch.load(p, weights_only=True)"])
def test_harmless_calls_are_not_accused(line):
    assert dangerous_calls(line) == []


def test_nothing_unpickles_or_evaluates():
    assert violations(lambda path: dangerous_calls(path.read_text()), LIBRARY + JOBS) == {}


def test_no_module_imports_itself_in_a_circle_not_even_inside_a_function():
    known = {module_name(path) for path in LIBRARY}
    graph: dict[str, set[str]] = {}
    for path in LIBRARY:
        tree = ast.parse(path.read_text())
        found = {f"{name}.{part}" if f"{name}.{part}" in known else name
                 for name, parts in imports_of(tree) for part in parts or [""]}  # fmt: skip
        graph[module_name(path)] = {name for name in found if name.startswith("twotower.")} - {module_name(path)}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) >= len(known)


def test_every_file_says_first_what_it_is():
    def silent(path: Path) -> list[str]:
        text = ast.get_docstring(ast.parse(path.read_text())) or ""
        return [] if len(text.split("\n")[0]) > 20 else ["its first statement is no telling docstring"]

    assert violations(silent, LIBRARY + JOBS + TESTS) == {}


def n_lines(function: ast.FunctionDef) -> int:
    """Lines of the body; the signature and the docstring may be as long as they need to be."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_files_and_functions_stay_short():
    def long(path: Path) -> list[str]:
        source = path.read_text()
        functions = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef)]
        found = [f"{f.name}: {n_lines(f)} lines" for f in functions if n_lines(f) > LONGEST_FUNCTION]
        whole = source.count("\n")
        return [*found, f"{whole} lines in all"] if whole > LONGEST_FILE else found

    assert violations(long, LIBRARY + JOBS) == {}


def test_the_request_path_is_free_of_torch():
    names = {
        name for p in LIBRARY if unit_of(module_name(p)) == "stages" for name, _ in imports_of(ast.parse(p.read_text()))
    }
    assert {name.split(".")[0] for name in names} & {"torch"} == set()
    assert {unit_of(name) for name in names if name.startswith("twotower.")} & {"nn", "training", "models"} == set()


def test_nothing_below_the_config_floor_knows_hydra():
    def knowing(path: Path) -> list[str]:
        if FLOOR_OF.get(unit_of(module_name(path)), 0) >= CONFIG_FLOOR:
            return []
        roots = {name.split(".")[0] for name, _ in imports_of(ast.parse(path.read_text()))}
        return sorted(roots & {"hydra", "omegaconf"})

    assert violations(knowing, LIBRARY) == {}


@functools.cache
def extras() -> set[str]:
    """What the extras for users bring, under the names by which it is imported."""
    optional = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names = {
        str(re.match(r"[\w.-]+", spec)[0]) for extra in ("peers", "distributed", "onnx") for spec in optional[extra]
    }
    return {IMPORTED_AS.get(name, name.replace("-", "_")) for name in names}


def test_extras_are_imported_where_they_are_used_and_nowhere_at_the_top():
    at_the_top = [
        (path.name, name)
        for path in LIBRARY
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name, _ in imports_of(ast.Module([node], []))
        if name.split(".")[0] in extras()
    ]
    assert at_the_top == []


def test_every_import_of_the_library_is_a_declared_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.match(r"[\w.-]+", spec)[0].lower().replace("_", "-") for spec in project["dependencies"]}
    declared |= {"omegaconf"}  # the config objects of hydra-core, which pins it
    owners = packages_distributions()
    roots = {name.split(".")[0] for path in LIBRARY for name, _ in imports_of(ast.parse(path.read_text()))}
    foreign = roots - set(sys.stdlib_module_names) - {"twotower"} - extras()
    undeclared = {r for r in foreign if not {d.lower().replace("_", "-") for d in owners.get(r, [])} & declared}
    assert undeclared == set()


def test_no_job_is_named_like_a_module_that_it_might_import():
    owners = {root for root, dists in packages_distributions().items() if "build" not in dists}
    names = {path.stem for path in (ROOT / "pipelines").rglob("*.py")} | {p.stem for p in (ROOT / "index").glob("*.py")}
    assert names & (owners | set(sys.stdlib_module_names)) == set()


COMMANDS = sorted(
    [module_name(p) for p in (ROOT / "twotower" / "commands").glob("*.py") if "def main(" in p.read_text()]
    + ["twotower.train", "twotower.evaluate", "twotower.recommend"]
)
HELP_WITHOUT_TORCH = """
import runpy, sys
sys.argv = [sys.argv[1], "--help"]
try:
    runpy.run_module(sys.argv[0], run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
assert "torch" not in sys.modules, "torch was imported to print the help"
"""


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_is_printed_without_loading_torch(command):
    run = subprocess.run(
        [sys.executable, "-c", HELP_WITHOUT_TORCH, command], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert len(run.stdout) > 100
