"""The contract of `ScoringModel`, asked of every model that has a YAML in `conf/baseline` or `conf/peer`."""

from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from safetensors.numpy import save_file

from twotower import topk
from twotower.ann.measuring.timing import limited_threads
from twotower.config.compose import conf_dir, instantiate
from twotower.errors import BadConfig, BadInput, BundleError, NotFitted
from twotower.metrics.ranking import average_precision
from twotower.models import base
from twotower.models import best_products as vector_lists
from twotower.models.base import ScoringModel
from twotower.models.popular import Popular
from twotower.topk import top_k
from twotower.types import NO_ITEM, UNKNOWN_USER, Queries, Ragged, TopK

FILES = [path for group in ("baseline", "peer") for path in sorted((conf_dir() / group).glob("*.yaml"))]
SMALLER = {"dim": 8, "epochs": 12, "n_neighbours": 10, "l2": 1.0, "threads": 1}
"""Options that fit a data set of 80 users; l2 only where it is a ridge term; peers race with several threads."""
LONGER = {"implicit_bpr": {"epochs": 300, "lr": 0.2, "patience": 300}}
"""Plain gradient steps, one per event, need many passes over 600 events."""


def build(path: Path) -> ScoringModel:
    """The model of a YAML, made small; skipped where its library is not installed."""
    node = OmegaConf.load(path).model
    pairwise = "lr" in node
    smaller = {name: value for name, value in SMALLER.items() if name in node and not (pairwise and name == "l2")}
    try:
        return instantiate(OmegaConf.merge(node, smaller, LONGER.get(path.stem, {})))
    except BadConfig as error:
        if "twotower[peers]" not in str(error):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=FILES, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


@pytest.fixture(scope="module")
def model(path, two_tastes) -> ScoringModel:
    return build(path).fit(two_tastes)


def queries_of(histories: list[list[int]], users: list[int] | None = None) -> Queries:
    """Queries of unknown users, unless users are given; nothing is excluded."""
    users = [UNKNOWN_USER] * len(histories) if users is None else users
    return Queries.of(np.array(users), Ragged.from_lists(histories), exclude_history=False)


def assert_same(a: TopK, b: TopK) -> None:
    np.testing.assert_array_equal(a.items, b.items)
    np.testing.assert_array_equal(a.scores, b.scores)


def test_there_are_baselines():
    assert {p.stem for p in FILES} >= {"popular", "item_knn", "als", "mf_bpr", "mf_warp", "hybrid", "ease"}


def test_scores_cover_the_catalogue_and_rise_with_preference(model, two_tastes):
    queries = two_tastes.test.queries()
    scores = model.score(queries)
    assert scores.shape == (len(queries), two_tastes.train.n_items)
    top = model.recommend(queries, 3)
    np.testing.assert_allclose(np.take_along_axis(scores, top.items, 1), top.scores, rtol=1e-4, atol=1e-5)


def test_a_personal_model_beats_the_popular_list(model, two_tastes):
    if isinstance(model, Popular):
        pytest.skip("is the popular list")
    queries, relevant = two_tastes.test.queries(), two_tastes.test.relevant()
    ours = average_precision(model.recommend(queries, 10), relevant, 10).mean()
    popular = average_precision(Popular().fit(two_tastes).recommend(queries, 10), relevant, 10).mean()
    assert ours > popular


def test_an_unknown_user_with_a_history_gets_a_personal_list(model):
    even, odd = model.recommend(queries_of([[0, 2, 4, 6], [1, 3, 5, 7]]), 10).items
    if isinstance(model, Popular):
        np.testing.assert_array_equal(even, odd)
    else:
        assert (even % 2 == 0).mean() > 0.5 > (odd % 2 == 0).mean()


def test_unknown_users_without_history_all_get_the_popular_list(model, two_tastes):
    top = model.recommend(queries_of([[], []]), 5)
    expected = Popular(window_days=getattr(model, "window_days", None)).fit(two_tastes).recommend(queries_of([[]]), 5)
    np.testing.assert_array_equal(top.items, expected.items[[0, 0]])


def test_a_known_user_without_history_is_served(model, two_tastes):
    top = model.recommend(queries_of([[], []], [0, 1]), 5)
    assert (top.items != NO_ITEM).all()
    assert np.isfinite(top.scores).all()


def test_items_that_nobody_knows_are_left_out_of_a_history(model):
    assert_same(model.recommend(queries_of([[0, NO_ITEM, 4]]), 5), model.recommend(queries_of([[0, 4]]), 5))


def test_a_history_of_unknown_items_alone_counts_as_none(model):
    assert_same(model.recommend(queries_of([[NO_ITEM]]), 5), model.recommend(queries_of([[]]), 5))


@pytest.mark.parametrize("what", ["history", "exclusion"])
def test_items_beyond_the_catalogue_are_refused_by_name(model, what):
    foreign, none = Ragged.from_lists([[model.n_items]]), Ragged.empty(1)
    queries = Queries(np.array([UNKNOWN_USER]), *((foreign, none) if what == "history" else (none, foreign)))
    with pytest.raises(BadInput, match=f"{what} of query 0 names item {model.n_items}"):
        model.recommend(queries, 5)


def test_a_list_longer_than_the_catalogue_is_padded(model):
    n = model.n_items
    top = model.recommend(Queries.of(np.array([0]), Ragged.from_lists([[1, 2]])), n + 3)
    assert top.items.shape == (1, n + 3)
    assert sorted(top.items[0, : n - 2]) == sorted(set(range(n)) - {1, 2})
    assert (top.items[0, n - 2 :] == NO_ITEM).all()
    assert np.isneginf(top.scores[0, n - 2 :]).all()


def test_excluded_items_never_appear(model, two_tastes):
    queries = two_tastes.test.queries()
    top = model.recommend(queries, model.n_items)
    for row, excluded in enumerate(queries.exclusions):
        assert not set(top.items[row]) & set(excluded)


def test_equal_scores_are_ordered_by_id(model):
    top = model.recommend(queries_of([[], [0, 3]]), model.n_items)
    equal = top.scores[:, 1:] == top.scores[:, :-1]
    assert (top.items[:, 1:][equal] > top.items[:, :-1][equal]).all()


@pytest.fixture(scope="module")
def asked(two_tastes) -> Queries:
    """Known users, unknown ones with and without history, and exclusions from none to all but a few items."""
    known, rng = two_tastes.test.queries(), np.random.default_rng(3)
    users = np.concatenate([known.users, np.full(30, UNKNOWN_USER)])
    histories = [*known.histories, *(rng.integers(-1, 50, size) for size in rng.integers(0, 9, 30))]
    excluded = [rng.integers(-1, 50, size) for size in rng.choice([0, 3, 40, 150], len(users))]
    return Queries(users, Ragged.from_lists(histories), Ragged.from_lists(excluded))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", [1, 7, 64])
def test_every_block_size_and_thread_count_gives_the_same_bits(model, asked, size, threads, monkeypatch):
    whole = model.recommend(asked, 10)
    monkeypatch.setattr(base, "BLOCK_CELLS", size * model.n_items)
    monkeypatch.setattr(topk, "_BLOCK_BYTES", 4 * size * model.n_items)
    with limited_threads(threads):
        assert_same(whole, model.recommend(asked, 10))
        blocks = [model.recommend(block, 10) for block in asked.blocks(size)]
    assert_same(whole, TopK.concatenate(blocks))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_lists_are_the_top_k_of_the_scores_whichever_way_they_are_made(model, asked, share, monkeypatch):
    monkeypatch.setattr(vector_lists, "SHARE", share)
    assert_same(model.recommend(asked, 20), top_k(model.score(asked), 20, asked.exclusions))


def test_no_queries_give_no_lists(model):
    assert model.recommend(queries_of([]), 5).items.shape == (0, 5)


def test_a_saved_model_gives_the_same_lists(model, two_tastes, tmp_path):
    model.save(tmp_path / "model")
    loaded = type(model).load(tmp_path / "model")
    assert loaded.options() == model.options()
    assert loaded.found_options() == model.found_options()
    known, unknown = two_tastes.test.queries(), queries_of([[0, 2], [], [5]])
    assert_same(model.recommend(known, 10), loaded.recommend(known, 10))
    assert_same(model.recommend(unknown, 10), loaded.recommend(unknown, 10))


def test_another_models_files_are_refused(model, tmp_path):
    model.save(tmp_path)

    class Other(type(model)):
        pass

    with pytest.raises(BundleError, match="not a Other"):
        Other.load(tmp_path)


def test_an_empty_directory_is_refused(model, tmp_path):
    with pytest.raises(BundleError, match=r"no model\.json"):
        type(model).load(tmp_path)


def test_the_same_seed_gives_the_same_model(model, path, two_tastes):
    again = build(path).fit(two_tastes)
    for name, array in model.state().items():
        np.testing.assert_array_equal(array, again.state()[name], err_msg=name)


def test_a_damaged_model_is_refused_instead_of_ranking_nan(model, tmp_path):
    model.save(tmp_path)
    for name, array in model.state().items():
        if array.dtype.kind == "f":
            damaged = array.copy()
            damaged.flat[0] = np.nan
            save_file(model.state() | {name: damaged}, tmp_path / "model.safetensors")
            with pytest.raises(BundleError, match=f"{name} holds NaN"):
                type(model).load(tmp_path)


def test_an_unfitted_model_says_so(path):
    unfitted = build(path)
    for ask in (lambda q: unfitted.score(q), lambda q: unfitted.recommend(q, 5)):
        with pytest.raises(NotFitted, match="call fit or load"):
            ask(queries_of([[]]))


def test_data_without_features_are_enough(path, two_tastes_bare):
    top = build(path).fit(two_tastes_bare).recommend(two_tastes_bare.test.queries(), 5)
    assert (top.items != NO_ITEM).all()


def test_the_last_fit_takes_train_and_validation_together(path, model, two_tastes):
    final = type(model)(**model.options() | model.found_options()).fit(two_tastes.refit())
    assert final.found_options() == model.found_options()
    top = final.recommend(two_tastes.test.queries(), 10)
    assert (top.items != NO_ITEM).all()
