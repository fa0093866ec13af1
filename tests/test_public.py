"""What `import twotower` offers: the listed names, loaded when asked for, and the same for type checkers."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import twotower

STUB = Path(twotower.__file__).with_suffix(".pyi")


@pytest.mark.parametrize("name", twotower.__all__)
def test_every_listed_name_is_there_and_says_what_it_is(name):
    value = getattr(twotower, name)
    assert isinstance(value, int | str) or value.__doc__


def test_a_type_checker_is_told_the_same_names():
    imports = [node for node in ast.parse(STUB.read_text()).body if isinstance(node, ast.ImportFrom)]
    told = {alias.asname for node in imports for alias in node.names}
    assert told | {"__version__"} == set(twotower.__all__)
    assert {f"{node.module}" for node in imports} == {f"twotower.{module}" for module in twotower._PUBLIC}


def test_importing_it_loads_neither_torch_nor_numpy():
    code = "import sys, twotower; assert not {'torch', 'numpy', 'pandas', 'faiss'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_not_listed_is_said_in_the_usual_way():
    with pytest.raises(AttributeError, match="module 'twotower' has no attribute 'TwoTowers'; did you mean TwoTower"):
        twotower.TwoTowers  # noqa: B018


def test_the_names_are_listed_in_a_notebook():
    assert set(twotower.__all__) <= set(dir(twotower))
