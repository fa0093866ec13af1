"""The index benchmark on a few thousand vectors: every backend is a row, with figures that can be true."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def lines_of(*arguments):
    command = [sys.executable, "pipelines/bench/indexes.py", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


def rows_of(lines):
    """Name to recall, p50, p99, queries a second, bytes, build seconds."""
    rows = {}
    for line in lines:
        words = line.split()
        if len(words) > 6 and line[46] == " " and words[-1][0].isdigit():
            rows[line[:46].strip()] = [float(word.replace(",", "")) for word in words[-6:]]
    return rows


@pytest.mark.slow
def test_every_backend_is_measured_on_one_set_of_vectors():
    rows = rows_of(lines_of("--only", "frontier", "--count", "3000"))
    for backend in ("exact", "faiss default", "faiss HNSW32", "kmeans", "lopq", "annoy", "peer: faiss"):
        assert [name for name in rows if name.startswith(backend)], backend
    for name, (recall, p50, p99, per_second, size, seconds) in rows.items():
        assert 0 < recall <= 1, name
        assert 0 < p50 <= p99, name
        assert per_second > 0, name
        assert size >= 0, name
        assert seconds >= 0, name
    assert rows["exact"][0] == 1


@pytest.mark.slow
def test_lopq_stands_beside_product_quantisation_of_the_same_cells():
    lines = lines_of("--only", "lopq", "--count", "20000")
    assert lines[0] == "20,000 x 64, clusters of a shape of their own, 20 cells, nprobe 32, 8 code bytes"
    rivals = {"faiss IVF,PQ8, unit centroids", "faiss IVF,PQ8, residuals to cell means"}
    assert set(rows_of(lines)) == rivals | {"lopq shared", "lopq local"}


@pytest.mark.parametrize("section", ["exact", "reference"])
def test_sections_end_with_their_peak_memory(section):
    assert lines_of("--only", section, "--count", "3000")[-2].startswith("peak memory ")
