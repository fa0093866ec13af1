"""Every Python block of the README and of the docs runs: the blocks of a page one after the other, in one namespace."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "docs" / "python.md", ROOT / "docs" / "marketplace.md"]


def blocks_of(page: Path) -> list[tuple[int, str]]:
    """Line and text of every Python block."""
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text[: block.start(1)].count("\n"), block[1]) for block in found]


WITH_BLOCKS = [page for page in PAGES if blocks_of(page)]


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_python_blocks_of_a_page_run_one_after_the_other(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": page.stem}
    for line, block in blocks_of(page):
        exec(compile("\n" * line + block, str(page), "exec"), names)


def test_blocks_are_found_with_their_lines(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A\n\n```python\nx = 1\n```\n\n```\nno python\n```\n\n```python\ny = 2\n```\n")
    assert blocks_of(page) == [(3, "x = 1\n"), (11, "y = 2\n")]
