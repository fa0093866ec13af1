"""Cores and threads that a process may use."""

import os

import pytest

from twotower.cores import thread_limit, usable_cores


def test_cores_are_those_that_the_process_may_run_on(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert usable_cores() == 3


def test_where_the_system_does_not_tell_them_all_cores_count(monkeypatch):
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    assert usable_cores() == (os.cpu_count() or 1)
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert usable_cores() == 1


@pytest.mark.parametrize(
    ("text", "limit"), [("3", 3), (" 12 ", 12), ("4,2", 4), ("0", None), ("", None), ("many", None), ("-1", None)]
)
def test_the_environment_limits_threads_where_it_names_a_number(monkeypatch, text, limit):
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert thread_limit() == limit


def test_without_the_variable_there_is_no_limit(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert thread_limit() is None
