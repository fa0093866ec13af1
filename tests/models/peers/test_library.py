"""Threads and matrices as the other libraries want them."""

import os

import numpy as np
import pytest
from scipy import sparse
from threadpoolctl import threadpool_info

from twotower.errors import BadConfig
from twotower.models.peers.library import as_csr, one_blas_thread, require_library, thread_count


@pytest.mark.parametrize(("said", "given", "expected"), [("3", None, 3), ("3", 2, 2), ("", 1, 1)])
def test_threads_are_those_given_else_those_of_the_environment(monkeypatch, said, given, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert thread_count(given) == expected


@pytest.mark.parametrize("said", ["", "0", "many"])
def test_without_a_number_in_the_environment_there_is_a_thread_per_core(monkeypatch, said):
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert 1 <= thread_count(None) <= (os.cpu_count() or 1)


def test_less_than_one_thread_is_refused():
    with pytest.raises(BadConfig, match="threads=0 must be at least 1"):
        thread_count(0)


def test_blas_has_one_thread_inside_and_what_it_had_before_outside():
    def blas() -> list[int]:
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    before = blas()
    with one_blas_thread():
        assert set(blas()) <= {1}
    assert blas() == before


def test_matrices_keep_their_values_in_the_class_that_compiled_code_takes():
    wide = sparse.csr_array(np.array([[0, 2.5], [1, 0]], np.float32))
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    found = as_csr(wide)
    assert isinstance(found, sparse.csr_matrix)
    assert found.indices.dtype == found.indptr.dtype == np.int32
    np.testing.assert_array_equal(found.toarray(), wide.toarray())


def test_what_is_installed_passes_and_what_is_not_is_named_as_a_package():
    require_library("numpy", "numpy")
    with pytest.raises(BadConfig, match="the library no-such-package is not installed"):
        require_library("no_such_module", "no-such-package")
