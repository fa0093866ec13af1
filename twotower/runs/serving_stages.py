"""The stages of a run that is served: its model over an index, a second stage, and the rules of its options."""

from typing import cast

from twotower.ann.base import IndexBase
from twotower.ann.exact import ExactIndex
from twotower.errors import BundleError
from twotower.models.base import Model
from twotower.protocols import Ranker
from twotower.runs.bundle import Bundle, HasVectors
from twotower.runs.serve_options import ServeOptions
from twotower.runs.serving_files import ServingFiles
from twotower.stages.filters import lifetime_masks, rule_masks
from twotower.stages.list_retriever import ListRetriever
from twotower.stages.pair_ranker import PairRanker
from twotower.stages.recommender import FirstStage, TwoStageRecommender
from twotower.stages.retriever import Retriever
from twotower.stages.strategies import retriever_for
from twotower.types import Floats


def first_stage(model: Model, index: IndexBase | None, vectors: Floats | None) -> FirstStage:
    """The model over its index, over exact search where none was built, or its own lists where it has no vectors."""
    if vectors is None:
        return ListRetriever(model, model.n_items)
    encoder = cast(HasVectors, model)
    return Retriever(encoder, index or ExactIndex(metric="inner_product").build(vectors), vectors)


def likeness_of(model: Model) -> Floats | None:
    """Vectors whose cosine says how alike items are; None if the model has none. Shape [N, D]."""
    return cast(HasVectors, model).likeness if model.has_vectors else None


def other_ranker(bundle: Bundle, other: Bundle) -> Ranker:
    """The second stage of another run, or its model's scores where it has none.

    Raises:
        BundleError: it was trained on other data, whose ids mean other items.
    """
    if other.manifest["dataset"] != bundle.manifest["dataset"]:
        raise BundleError(
            f"run {other.name!r} cannot rank for run {bundle.name!r}: they were trained on different data; "
            "train both on the same"
        )
    model = other.model()
    return model.ranker() or PairRanker(model)


def stages_under(
    files: ServingFiles, retriever: FirstStage, ranker: Ranker | None, options: ServeOptions
) -> TwoStageRecommender:
    """The two stages under the rules of the options."""
    rules = rule_masks(options.where, files.catalogue)
    if options.only_available:
        rules |= lifetime_masks(files.lifetimes, files.at if options.at is None else options.at)
    chosen = retriever_for(options.strategy, retriever, ranker, recent=options.recent, n_cells=options.n_cells)
    return TwoStageRecommender(
        chosen, ranker, n_candidates=options.n_candidates, rules=rules, popularity=files.popularity
    )
