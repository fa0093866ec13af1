"""Two-stage recommendation: towers retrieve, RankNet ranks, reports say how much better that is.

What users import stands here by name and is loaded when it is asked for.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "allowed": "allow",
    "ann.annoy_trees": "AnnoyIndex",
    "ann.auto": "AutoIndex",
    "ann.exact": "ExactIndex",
    "ann.faiss_factory": "FaissIndex",
    "ann.kmeans": "KMeansIndex",
    "ann.lopq.index": "LOPQIndex",
    "data.dataset": "Dataset",
    "data.ids": "IdMap",
    "data.interactions": "Interactions",
    "data.sources.marketplace": "Marketplace",
    "data.sources.movielens": "MovieLens",
    "data.sources.tabular": "Tabular",
    "data.split": "Holdout Split",
    "data.splitters": (
        "ByTime ByWeek ColdItems ColdUsers LeaveLast "
        "PerUserRatio Published RandomSplit SampledNegatives TimeQuantile UserHeldOut"
    ),
    "data.tables": "FeatureTable",
    "errors": "TwoTowerError",
    "evaluation.contest": "Entrant contest",
    "evaluation.evaluation": "Evaluation",
    "evaluation.examine": "examine",
    "evaluation.report": "Report",
    "metrics.metric": "Metric",
    "models.base": "Model ScoringModel",
    "models.blend": "Blend",
    "models.content.knn": "ContentKNN",
    "models.content.ridge": "ContentRidge",
    "models.factorization.als": "ALS",
    "models.factorization.hybrid": "HybridMF",
    "models.factorization.mf": "MF",
    "models.factorization.spectral": "Spectral",
    "models.linear": "EASE",
    "models.neighbours": "ItemKNN",
    "models.neural": "NeuralModel",
    "models.pairs": "PairModel",
    "models.popular": "Popular",
    "models.ratings.biases": "RatingBiases",
    "models.ratings.matrix_factorization": "RatingMF",
    "models.two_stage": "TwoStage",
    "models.two_tower.estimator": "TwoTower",
    "models.two_tower.objective": "JointObjective Objective",
    "models.two_tower.options": "FeatureOptions TowerOptions TrainOptions",
    "models.vector_model": "VectorModel",
    "protocols": "Ranker Recommender VectorIndex",
    "reports.writers": "read_report write_report",
    "runs.bundle": "Bundle",
    "runs.fitted_model": "FittedModel load",
    "runs.fitting": "fitted",
    "runs.indexing": "build_index",
    "runs.publishing": "publish save_model",
    "runs.served_run": "ServedRun",
    "stages.pair_ranker": "PairRanker",
    "stages.recommender": "TwoStageRecommender",
    "stages.retriever": "Retriever",
    "training.context": "FitContext",
    "tuning.tune": "tune",
    "types": "NO_ITEM Queries Ragged TopK UNKNOWN_USER",
}
"""Module below `twotower` to the names that it gives."""
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names.split()}
__all__ = ["__version__", *sorted(_MODULE_OF)]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        from twotower.text import near

        raise AttributeError(f"module 'twotower' has no attribute {name!r}; {near(name, _MODULE_OF)}")
    return getattr(importlib.import_module(f"twotower.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
