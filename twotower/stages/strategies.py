"""The reference's three ways to find candidates, as a `Retriever` each: direct, pseudo, cluster."""

from typing import Protocol, runtime_checkable

from twotower.ann.cells import Cells
from twotower.errors import BadConfig
from twotower.protocols import Ranker
from twotower.stages.cluster_retriever import CellScorer, ClusterRetriever, completed
from twotower.stages.pseudo_encoder import PseudoEncoder
from twotower.stages.recommender import FirstStage
from twotower.stages.retriever import Retriever
from twotower.text import near

STRATEGIES = ("direct", "pseudo", "cluster")
"""Ask with the user's vector; with the mean of the history's items; let RankNet choose cells of the index."""


@runtime_checkable
class ScoresCells(Protocol):
    """A ranker that can also score the cells of a catalogue, each as the item that its members are on average."""

    def cell_scorer(self, cells: Cells) -> CellScorer:
        """A scorer of these cells."""
        ...


def checked_strategy(name: str) -> str:
    """The name, if it is one of `STRATEGIES`.

    Raises:
        BadConfig: it is not.
    """
    if name in STRATEGIES:
        return name
    raise BadConfig(f"strategy {name!r} is unknown; {near(name, STRATEGIES)}")


def retriever_for(
    strategy: str, direct: FirstStage, ranker: Ranker | None, *, recent: int, n_cells: int | None
) -> FirstStage:
    """A first stage over the index of another one.

    Args:
        strategy: one of `STRATEGIES`.
        direct: asks the index with the user's vector.
        ranker: scores cells.
        recent: events of the history that `pseudo` reads.
        n_cells: cells that share the candidates of `cluster`; None: a sixteenth of them, at least 16.

    Raises:
        BadConfig: no such strategy, or what it needs is not there.
    """
    if checked_strategy(strategy) == "direct":
        return direct
    if not isinstance(direct, Retriever):
        raise BadConfig(f"strategy {strategy!r} needs the item vectors, and this model has none; use direct")
    encoder, index, vectors = direct.encoder, direct.index, direct.vectors
    if vectors is None:
        raise BadConfig(f"strategy {strategy!r} needs the item vectors: Retriever(encoder, index, vectors)")
    if strategy == "pseudo":
        return Retriever(PseudoEncoder(encoder, vectors, index.metric, recent=recent), index, vectors)
    if not isinstance(ranker, ScoresCells):
        reason = f"{type(ranker).__name__} cannot" if ranker else "there is none"
        raise BadConfig(f"strategy 'cluster' lets the ranker score cells, as RankNet can, but {reason}")
    cells = completed(_cells_of(direct), vectors)
    return ClusterRetriever(encoder, index, vectors, cells, ranker.cell_scorer(cells), n_cells=n_cells)


def _cells_of(retriever: Retriever) -> Cells:
    """The cells of the index; none are made here, since that takes a k-means over the whole catalogue."""
    cells = getattr(retriever.index, "partition", None)
    if not isinstance(cells, Cells):
        raise BadConfig(
            f"strategy 'cluster' needs an index with cells, and {type(retriever.index).__name__} has none; "
            "run `make build-index INDEX=kmeans`"
        )
    return cells
