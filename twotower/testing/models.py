"""What every model keeps, as suites of claims."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from safetensors.numpy import save_file

from twotower import topk
from twotower.ann.exact import ExactIndex
from twotower.ann.measuring.timing import limited_threads
from twotower.errors import BadInput, BundleError, NotFitted
from twotower.metrics.ranking import average_precision
from twotower.models import base
from twotower.models.base import ARRAYS, Model, ScoringModel
from twotower.models.popular import Popular
from twotower.models.vector_model import VectorModel
from twotower.stages.recommender import TwoStageRecommender
from twotower.stages.retriever import Retriever
from twotower.testing.data import N_COLD, N_ITEMS, asked, queries_of, two_tastes
from twotower.types import NO_ITEM, UNKNOWN_USER, Queries, Ragged, TopK

LONGEST_REPR = 200


class ModelTests:
    """What every `Model` keeps. A subclass says in `make` how an unfitted model is made, small and seeded."""

    is_personal = True
    """False for a model that has one list for everybody."""
    _fitted: Model | None = None

    def make(self) -> Model:
        """An unfitted model, the same at every call."""
        raise NotImplementedError("say how the model is made: def make(self): return MyModel(dim=8)")

    def model(self) -> Model:
        """The model, fitted on `two_tastes` once for the whole class."""
        kind = type(self)
        if "_fitted" not in kind.__dict__ or kind._fitted is None:
            kind._fitted = self.make().fit(two_tastes())
        return kind._fitted

    def test_its_options_make_it_again(self) -> None:
        made = self.make()
        assert type(made)(**_constructor_options(made)).options() == made.options()

    def test_its_repr_is_one_line(self) -> None:
        for model in (self.make(), self.model()):
            assert "\n" not in repr(model)
            assert len(repr(model)) <= LONGEST_REPR
            assert type(model).__name__ in repr(model)

    def test_a_personal_model_beats_the_popular_list(self) -> None:
        queries, relevant = two_tastes().test.queries(), two_tastes().test.relevant()
        ours = average_precision(self.model().recommend(queries, 10), relevant, 10).mean()
        popular = average_precision(Popular().fit(two_tastes()).recommend(queries, 10), relevant, 10).mean()
        assert ours > popular or not self.is_personal

    def test_an_unknown_user_with_a_history_gets_a_personal_list(self) -> None:
        even, odd = self.model().recommend(queries_of([[0, 2, 4, 6], [1, 3, 5, 7]]), 10).items
        if self.is_personal and self.model().serves_new_users:
            assert (even % 2 == 0).mean() > 0.5 > (odd % 2 == 0).mean()
        else:
            np.testing.assert_array_equal(even, odd)

    def test_a_new_item_is_told_apart_by_its_features_if_it_says_so(self) -> None:
        if not self.model().serves_new_items:
            return
        cold = np.arange(N_ITEMS - N_COLD, N_ITEMS)
        asked_of = queries_of([[0, 2, 4, 6], [1, 3, 5, 7]])
        scores = self.model().pair_scores(asked_of, TopK(np.stack([cold, cold]), np.zeros((2, N_COLD), np.float32)))
        preference = scores[:, cold % 2 == 0].mean(axis=1) - scores[:, cold % 2 == 1].mean(axis=1)
        assert preference[0] > preference[1]

    def test_unknown_users_without_history_all_get_one_full_list(self) -> None:
        top = self.model().recommend(queries_of([[], []]), 5)
        np.testing.assert_array_equal(top.items[0], top.items[1])
        assert (top.items != NO_ITEM).all()

    def test_a_known_user_without_history_is_served(self) -> None:
        top = self.model().recommend(queries_of([[], []], [0, 1]), 5)
        assert (top.items != NO_ITEM).all()
        assert np.isfinite(top.scores).all()

    def test_items_that_nobody_knows_are_left_out_of_a_history(self) -> None:
        model = self.model()
        same(model.recommend(queries_of([[0, NO_ITEM, 4]]), 5), model.recommend(queries_of([[0, 4]]), 5))

    def test_items_beyond_the_catalogue_are_refused_by_name(self) -> None:
        model = self.model()
        foreign, none = Ragged.from_lists([[model.n_items]]), Ragged.empty(1)
        for what, parts in (("history", (foreign, none)), ("exclusion", (none, foreign))):
            with refused(BadInput, f"{what} of query 0 names item {model.n_items}"):
                model.recommend(Queries(np.array([UNKNOWN_USER]), *parts), 5)

    def test_a_list_longer_than_the_catalogue_is_padded(self) -> None:
        n = self.model().n_items
        top = self.model().recommend(Queries.of(np.array([0]), Ragged.from_lists([[1, 2]])), n + 3)
        assert top.items.shape == (1, n + 3)
        assert sorted(top.items[0, : n - 2]) == sorted(set(range(n)) - {1, 2})
        assert (top.items[0, n - 2 :] == NO_ITEM).all()
        assert np.isneginf(top.scores[0, n - 2 :]).all()

    def test_a_list_of_no_places_is_refused(self) -> None:
        with refused(BadInput, "k must be at least 1"):
            self.model().recommend(queries_of([[0]]), 0)

    def test_excluded_items_never_appear(self) -> None:
        queries = two_tastes().test.queries()
        top = self.model().recommend(queries, self.model().n_items)
        for row, excluded in enumerate(queries.exclusions):
            assert not set(top.items[row]) & set(excluded)

    def test_only_allowed_items_are_returned(self) -> None:
        allowed = np.arange(self.model().n_items) % 3 != 0
        top = self.model().recommend(replace(two_tastes().test.queries(), allowed=allowed), 10)
        assert (top.items != NO_ITEM).all()
        assert allowed[top.items].all()

    def test_equal_scores_are_ordered_by_id(self) -> None:
        top = self.model().recommend(queries_of([[], [0, 3]]), self.model().n_items)
        equal = top.scores[:, 1:] == top.scores[:, :-1]
        assert (top.items[:, 1:][equal] > top.items[:, :-1][equal]).all()

    def test_no_queries_give_no_lists(self) -> None:
        assert self.model().recommend(queries_of([]), 5).items.shape == (0, 5)

    def test_every_block_size_gives_the_same_lists(self) -> None:
        queries = asked()
        whole = self.model().recommend(queries, 10)
        for size in (1, 7, 64):
            blocks = [self.model().recommend(block, 10) for block in queries.blocks(size)]
            np.testing.assert_array_equal(whole.items, TopK.concatenate(blocks).items)

    def test_scores_of_pairs_order_its_own_lists(self) -> None:
        queries = two_tastes().test.queries()
        top = self.model().recommend(queries, 10)
        scores = self.model().pair_scores(queries, top)
        assert scores.shape == top.items.shape
        np.testing.assert_allclose(scores, top.scores, rtol=1e-4, atol=1e-4)

    def test_a_saved_model_gives_the_same_lists(self, tmp_path: Path) -> None:
        model = self.model()
        model.save(tmp_path / "model")
        loaded = type(model).load(tmp_path / "model")
        assert loaded.options() == model.options()
        assert loaded.found_options() == model.found_options()
        for queries in (two_tastes().test.queries(), queries_of([[0, 2], [], [5]])):
            same(model.recommend(queries, 10), loaded.recommend(queries, 10))

    def test_another_models_files_are_refused(self, tmp_path: Path) -> None:
        self.model().save(tmp_path)
        other: Any = type("Other", (type(self.model()),), {})
        with refused(BundleError, "not a Other"):
            other.load(tmp_path)

    def test_an_empty_directory_is_refused(self, tmp_path: Path) -> None:
        with refused(BundleError, "no model.json"):
            type(self.model()).load(tmp_path)

    def test_the_same_seed_gives_the_same_model(self) -> None:
        again, state = self.make().fit(two_tastes()).state(), self.model().state()
        assert set(again) == set(state)
        for name, array in state.items():
            np.testing.assert_array_equal(array, again[name], err_msg=name)

    def test_its_state_can_be_taken_back(self) -> None:
        model, queries = self.model(), two_tastes().test.queries()
        before = model.recommend(queries, 5)
        model.set_state({name: array.copy() for name, array in model.state().items()})
        same(before, model.recommend(queries, 5))

    def test_a_damaged_model_is_refused_instead_of_ranking_nan(self, tmp_path: Path) -> None:
        model = self.model()
        model.save(tmp_path)
        if not (tmp_path / ARRAYS).exists():
            return  # files of its own
        for name, array in model.state().items():
            if array.dtype.kind == "f" and array.size:
                damaged = array.copy()
                damaged.flat[0] = math.nan
                save_file(model.state() | {name: damaged}, tmp_path / ARRAYS)
                with refused(BundleError, f"{name} holds NaN"):
                    type(model).load(tmp_path)

    def test_an_unfitted_model_says_so(self) -> None:
        with refused(NotFitted, "call fit or load"):
            self.make().recommend(queries_of([[]]), 5)

    def test_data_without_features_are_enough(self) -> None:
        bare = two_tastes(features=False)
        top = self.make().fit(bare).recommend(bare.test.queries(), 5)
        assert (top.items != NO_ITEM).all()

    def test_the_last_fit_is_ready_for_the_test(self) -> None:
        final = self.make().fit_for_test(two_tastes())
        top = final.recommend(two_tastes().test.queries(), 10)
        assert (top.items != NO_ITEM).all()

    def test_it_has_vectors_if_it_says_so(self) -> None:
        model: Any = self.model()
        if model.has_vectors:
            queries = two_tastes().test.queries()
            assert model.item_vectors.shape[0] == model.n_items
            assert model.user_vectors(queries).shape == (len(queries), model.item_vectors.shape[1])
            assert model.likeness.shape[0] == model.n_items
        else:
            assert not hasattr(model, "item_vectors")


class ScoringModelTests(ModelTests):
    """What every `ScoringModel` keeps beside that."""

    def scoring(self) -> ScoringModel:
        """The fitted model."""
        return cast(ScoringModel, self.model())

    def test_scores_cover_the_catalogue(self) -> None:
        queries = two_tastes().test.queries()
        scores = self.scoring().score(queries)
        assert scores.shape == (len(queries), two_tastes().train.n_items)
        top = self.scoring().recommend(queries, 3)
        np.testing.assert_allclose(np.take_along_axis(scores, top.items, 1), top.scores, rtol=1e-4, atol=1e-5)

    def test_lists_are_the_top_k_of_the_scores(self) -> None:
        queries = asked()
        expected = topk.top_k(self.scoring().score(queries), 20, queries.exclusions)
        same(self.scoring().recommend(queries, 20), expected)

    def test_what_is_not_allowed_is_made_up_for(self) -> None:
        queries, n = two_tastes().test.queries(), self.model().n_items
        allowed = np.arange(n) % 3 != 0
        top = self.model().recommend(replace(queries, allowed=allowed), 10)
        same(top, topk.sieve(self.model().recommend(queries, n), queries.exclusions, 10, allowed))

    def test_unknown_users_without_history_get_the_popular_list(self) -> None:
        window = getattr(self.model(), "window_days", None)
        expected = Popular(window_days=window).fit(two_tastes()).recommend(queries_of([[]]), 5)
        np.testing.assert_array_equal(self.model().recommend(queries_of([[]]), 5).items, expected.items)

    def test_a_history_of_unknown_items_alone_counts_as_none(self) -> None:
        model = self.model()
        same(model.recommend(queries_of([[NO_ITEM]]), 5), model.recommend(queries_of([[]]), 5))

    def test_every_block_size_and_thread_count_gives_the_same_bits(self) -> None:
        queries, model = asked(), self.model()
        whole = model.recommend(queries, 10)
        for threads in (1, 2):
            for size in (1, 7, 64):
                with limited_threads(threads), _small_blocks(size * model.n_items):
                    same(whole, model.recommend(queries, 10))


class VectorModelTests(ScoringModelTests):
    """What every `VectorModel` keeps beside that."""

    def test_an_index_over_its_vectors_gives_its_own_lists(self) -> None:
        model, queries = cast(VectorModel, self.model()), two_tastes().test.queries()
        index = ExactIndex(metric="inner_product").build(model.item_vectors)
        stages = TwoStageRecommender(Retriever(model, index, model.item_vectors))
        np.testing.assert_array_equal(stages.recommend(queries, 10).items, model.recommend(queries, 10).items)


def same(a: TopK, b: TopK) -> None:
    """Holds two batches of lists equal to the last bit."""
    np.testing.assert_array_equal(a.items, b.items)
    np.testing.assert_array_equal(a.scores, b.scores)


@contextmanager
def refused(error: type[Exception], words: str) -> Iterator[None]:
    """Holds that what is inside raises an error whose message has these words."""
    message = None
    try:
        yield
    except error as raised:
        message = str(raised)
    assert message is not None, f"{error.__name__} with {words!r} was not raised"
    assert words in message, f"{words!r} is not in {message!r}"


@contextmanager
def _small_blocks(cells: int) -> Iterator[None]:
    """Blocks of so many scores, in `recommend` and in `top_k`."""
    before = base.BLOCK_CELLS, topk._BLOCK_BYTES
    base.BLOCK_CELLS, topk._BLOCK_BYTES = cells, 4 * cells
    try:
        yield
    finally:
        base.BLOCK_CELLS, topk._BLOCK_BYTES = before


def _constructor_options(model: Model) -> dict[str, Any]:
    """Options as the constructor takes them, groups as the objects that they are."""
    return {name: getattr(model, name) for name in model.options()}
