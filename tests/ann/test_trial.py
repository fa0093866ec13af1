"""Native loaders try files of unknown origin in a process of their own."""

import json
import os

import numpy as np
import pytest

from twotower.ann.trial import try_in_child
from twotower.config.compose import instantiate
from twotower.errors import BundleError
from twotower.runs.bundle import Bundle
from twotower.runs.publishing import publish, publish_index
from twotower.storage import known
from twotower.storage.manifest import write_manifest

FAISS = {"_target_": "twotower.ann.faiss_factory.FaissIndex", "cells": 4, "train_per_cell": 10}


@pytest.fixture
def bundle(tmp_path):
    """A run of 200 vectors with a faiss index."""
    vectors = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)

    def write(directory):
        np.save(directory / "item_vectors.npy", vectors)

    made = publish(tmp_path / "runs", "x", write, {"dataset": "d"})
    publish_index(made, instantiate(FAISS).build(made.item_vectors()), {})
    return Bundle.open(made.directory)


def tried(monkeypatch) -> list[str]:
    """Backends that are tried from now on."""
    backends: list[str] = []

    def try_and_note(backend, directory, vectors):
        backends.append(backend)
        try_in_child(backend, directory, vectors)

    monkeypatch.setattr("twotower.runs.bundle.try_in_child", try_and_note)
    return backends


def test_an_index_of_this_user_is_opened_at_once(bundle, monkeypatch):
    backends = tried(monkeypatch)
    assert bundle.index() is not None
    assert backends == []


def test_a_foreign_index_is_tried_once(bundle, monkeypatch, tmp_path):
    backends = tried(monkeypatch)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert not known.is_known(bundle.index_manifest())
    assert bundle.index() is not None
    assert bundle.index() is not None
    assert backends == [FAISS["_target_"]]


def test_where_nothing_can_be_remembered_it_is_tried_every_time(bundle, monkeypatch, tmp_path):
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    backends = tried(monkeypatch)
    for _ in range(2):
        assert bundle.index() is not None
    assert len(backends) == 2


@pytest.mark.parametrize("harm", ["cut", "noise"])
def test_a_damaged_index_with_rewritten_digests_is_refused(bundle, harm):
    directory = bundle.directory / "index"
    file = max(directory.iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(file.read_bytes())
    file.write_bytes(content[: len(content) // 3] if harm == "cut" else os.urandom(len(content)))
    facts = json.loads((directory / "manifest.json").read_text())
    write_manifest(directory, {n: v for n, v in facts.items() if n not in ("format", "created", "files", "sha256")})
    with pytest.raises(BundleError, match=r"was not made here and its loader fails"):
        bundle.index()


def test_a_crash_of_the_child_is_told(bundle, monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "sitecustomize.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(BundleError, match="ended by signal 11"):
        try_in_child(FAISS["_target_"], bundle.directory / "index", bundle.directory / "item_vectors.npy")
