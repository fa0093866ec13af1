"""An index beside a run that it does not belong to: refused with both values and what to do."""

import json
import shutil

import numpy as np
import pytest

from twotower.ann.exact import ExactIndex
from twotower.ann.kmeans import KMeansIndex
from twotower.config.compose import instantiate, locate
from twotower.errors import BundleError, IndexMismatch
from twotower.runs.bundle import Bundle
from twotower.runs.publishing import publish_index
from twotower.storage import atomic


def edit(path, **changes):
    """Other facts under a valid digest of their own, as another version or a hand might write them."""
    facts = json.loads(path.read_text()) | changes
    del facts["sha256"]
    path.write_text(json.dumps({**facts, "sha256": atomic.sha256_of_json(facts)}))


@pytest.fixture
def bundle(runs, options, vectors):
    return runs.indexed("first", options, vectors)


def test_index_of_other_towers_is_refused_with_both_digests(runs, bundle, other_vectors):
    other = runs.publish("second", other_vectors)
    shutil.copytree(bundle.directory / "index", other.directory / "index")
    with pytest.raises(
        IndexMismatch,
        match=f"{bundle.model_digest[:8]}… but this run has {other.model_digest[:8]}…; run `make build-index`",
    ):
        other.index()


def test_index_of_other_vectors_under_the_right_name_is_refused(runs, bundle, options, other_vectors):
    """Both manifests are whole and name these towers, but the files come from another run."""
    other = runs.indexed("second", options, other_vectors)
    for file in (other.directory / "index").iterdir():
        if file.name != "manifest.json":
            shutil.copyfile(file, bundle.directory / "index" / file.name)
    with pytest.raises(BundleError, match="is damaged"):
        bundle.index()


@pytest.mark.parametrize(("fact", "value"), [("dim", 17), ("metric", "euclidean"), ("count", 299)])
def test_wrong_dimension_metric_and_count_are_named_with_the_remedy(bundle, fact, value):
    true = {"dim": 16, "metric": "inner_product", "count": 300}[fact]
    edit(bundle.directory / "index" / "manifest.json", **{fact: value})
    with pytest.raises(IndexMismatch) as refused:
        bundle.index()
    assert str(value) in str(refused.value)
    assert str(true) in str(refused.value)
    assert "make build-index" in str(refused.value)


def test_index_of_another_dimension_is_refused_before_it_is_loaded(runs, options, vectors, monkeypatch):
    bundle = runs.publish("x", vectors)
    index = instantiate(options).build(np.ascontiguousarray(vectors[:, :8]))
    publish_index(bundle, index, {})
    monkeypatch.setattr(type(index), "_read", lambda *args: pytest.fail("it was loaded"))
    with pytest.raises(IndexMismatch, match="has dim 8 but the run's item vectors have 16; run `make build-index`"):
        bundle.index()


def test_index_of_another_backend_is_refused_with_both_names(bundle):
    other = KMeansIndex if not isinstance(bundle.index(), KMeansIndex) else ExactIndex
    with pytest.raises(IndexMismatch, match=rf"holds an index of .*{type(bundle.index()).__name__}.*{other.__name__}"):
        other.load(bundle.directory / "index", shared=bundle.item_vectors())


def test_options_of_another_version_are_named(bundle):
    path = bundle.directory / "index" / "index.json"
    edit(path, options={**json.loads(path.read_text())["options"], "warmth": 3})
    with pytest.raises(IndexMismatch, match=r"saved with warmth, which this version of \w+ does not have; build"):
        locate(bundle.index_manifest()["backend"]).load(path.parent, shared=bundle.item_vectors())


def test_shared_vectors_of_another_shape_are_refused_with_both_shapes(bundle, vectors):
    with pytest.raises(IndexMismatch, match=r"of shape \(300, 16\), given were \(299, 16\); build the index again"):
        type(bundle.index()).load(bundle.directory / "index", shared=vectors[:-1])


def test_shared_vectors_of_the_same_shape_are_told_apart_by_their_digest(bundle, other_vectors):
    with pytest.raises(IndexMismatch, match=r"with SHA-256 \w{8}…, given were \w{8}…; build the index again"):
        type(bundle.index()).load(bundle.directory / "index", shared=other_vectors)


def test_index_saved_without_its_vectors_asks_for_them(bundle):
    with pytest.raises(BundleError, match="give them to load as `shared`"):
        type(bundle.index()).load(bundle.directory / "index")


def test_run_whose_vectors_were_exchanged_does_not_open_at_all(bundle, other_vectors):
    np.save(bundle.directory / "item_vectors.npy", other_vectors)
    with pytest.raises(BundleError, match="is damaged: SHA-256"):
        Bundle.open(bundle.directory)
