"""Gathers `Insights` of a run: stages watched at work, scores, exposure, vectors in a plane, example lists."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.special import softmax

from twotower.data.categories import MISSING, Categories
from twotower.data.split import Holdout
from twotower.data.tables import FeatureTable
from twotower.errors import BadInput
from twotower.evaluation.results import Calibration
from twotower.metrics.groups import SHELVES, by_shelf
from twotower.metrics.ranking import ranking_metrics
from twotower.reports.diagnostics import Example, Exposure, Histogram, Place, Stages, VectorMap
from twotower.stages.recommender import Trace, TwoStageRecommender
from twotower.types import NO_ITEM, Array, Bools, Floats, Ids, Queries, Ragged, TopK

SIZES = (1, 5, 10, 30, 100, 200, 500, 1000)
"""Numbers of candidates whose recall is measured, up to what the run retrieves."""
MAX_USERS = 2000
BINS = 40


def sampled(holdout: Holdout, n: int, seed: int) -> tuple[Queries, Ragged]:
    """Queries and targets of at most n of the users with a target, drawn without replacement."""
    queries, relevant = holdout.queries(), holdout.relevant()
    rows = np.sort(np.random.default_rng(seed).permutation(len(queries))[:n])
    return queries.take(rows), relevant.take(rows)


def hits_of(found: TopK, relevant: Ragged) -> Bools:
    """Whether each place holds a target of its user. Shape [B, K]."""
    n = int(max(found.items.max(initial=0), relevant.values.max(initial=0))) + 1
    wanted = relevant.row_ids() * n + relevant.values
    rows = np.arange(len(found))[:, None] * n
    hits: Bools = np.isin(rows + found.items, wanted) & (found.items != NO_ITEM)
    return hits


def stages_of(trace: Trace, relevant: Ragged) -> Stages:
    """Recall at every size up to the number of candidates."""
    sizes = tuple(size for size in SIZES if size <= trace.candidates.k)

    def recall(found: TopK) -> dict[int, float]:
        values = ranking_metrics(found, relevant, sizes, names=("recall",))
        return {size: float(values[f"recall@{size}"].mean()) for size in sizes}

    return Stages(recall(trace.candidates), recall(trace.ranked))


def scores_of(ranked: TopK, hits: Bools) -> Histogram | None:
    """Histogram of scores; None if no candidate is a target."""
    filled = ranked.items != NO_ITEM
    positives, negatives = ranked.scores[hits], ranked.scores[filled & ~hits]
    if not len(positives) or not len(negatives):
        return None
    low, high = np.quantile(ranked.scores[filled], (0.001, 0.999))
    edges = np.linspace(min(low, positives.min()), max(high, positives.max()), BINS + 1)
    shares = [np.histogram(np.clip(part, edges[0], edges[-1]), edges)[0] / len(part) for part in (positives, negatives)]
    return Histogram(_numbers(edges), _numbers(shares[0]), _numbers(shares[1]))


def reliability_of(ranked: TopK, hits: Bools) -> Calibration | None:
    """Calibration of the softmax of the scores over a user's candidates; None if nobody's targets are among them.

    Only users with a target among their candidates are counted; each of a user's n found targets counts 1/n, so that
    foreseen and observed shares both sum to one per user. Bins are equally wide in the logarithm.
    """
    users = hits.any(axis=1)
    if not users.any():
        return None
    hits, scores = hits[users], ranked.scores[users].astype(np.float64)
    filled = (ranked.items[users] != NO_ITEM).ravel()
    foreseen = softmax(scores, axis=1).ravel()[filled]
    observed = (hits / hits.sum(axis=1, keepdims=True)).ravel()[filled]
    level = np.clip(np.floor(3 * np.log10(np.maximum(foreseen, 1e-6))).astype(int), -18, -1)  # three bins a decade
    _, bins = np.unique(level, return_inverse=True)
    pairs = np.bincount(bins)
    said, was = np.bincount(bins, foreseen) / pairs, np.bincount(bins, observed) / pairs
    ece = float((pairs * np.abs(said - was)).sum() / pairs.sum())
    return Calibration("RankNet", _numbers(said), _numbers(was), tuple(int(n) for n in pairs), ece)


def exposure_of(popularity: Array, shown: Mapping[str, Ids]) -> Exposure:
    """How items of each shelf are represented among `shown`, name to internal ids (repeats count)."""
    shelf = by_shelf(popularity)
    shares = {
        name: _numbers(np.bincount(shelf[items], minlength=len(SHELVES)) / max(len(items), 1))
        for name, items in shown.items()
    }
    return Exposure(tuple(label for _, _, label in SHELVES), shares)


def vector_map(vectors: Floats, table: FeatureTable, *, n: int = 1500, top: int = 6, seed: int = 0) -> VectorMap | None:
    """Principal components of n items' vectors, coloured by the feature that neighbours share most.

    Of the categorical columns with a few common values that one is taken whose groups lie farthest apart in the plane.
    """
    from sklearn.decomposition import PCA

    columns = {c.name: v for c in table.schema.columns if isinstance(v := table[c.name], Categories)}
    if len(vectors) < 3 or vectors.shape[1] < 2 or not columns:
        return None
    rows = np.sort(np.random.default_rng(seed).permutation(len(vectors))[:n])
    pca = PCA(2, random_state=seed)
    plane = pca.fit_transform(np.asarray(vectors[rows], np.float64))  # [n, 2]
    grouped = {name: _top_values(values, rows, top) for name, values in columns.items()}
    feature = max(grouped, key=lambda name: _separation(plane, grouped[name][0]))
    group, names = grouped[feature]
    explained = float(pca.explained_variance_ratio_.sum())
    return VectorMap(
        _numbers(plane[:, 0]), _numbers(plane[:, 1]), tuple(int(g) for g in group), names, feature, explained
    )


def watch(
    recommender: TwoStageRecommender, holdout: Holdout, *, n_users: int = MAX_USERS, seed: int = 0, k: int = 10
) -> dict[str, Any]:
    """What the stages do for a sample of users: the parts of `Insights` of those names.

    Raises:
        BadInput: nobody has a target.
    """
    queries, relevant = sampled(holdout, n_users, seed)
    if not len(queries):
        raise BadInput("watch: no user has a target; choose another split")
    traces = [recommender.trace(block, k, unfiltered=False) for block in queries.blocks(256)]
    candidates = TopK.concatenate([t.candidates for t in traces])
    ranked = TopK.concatenate([t.ranked for t in traces])
    whole = Trace((), None, {}, candidates, ranked, ranked.head(k))
    hits = hits_of(ranked, relevant)
    shown = {
        "earlier events": holdout.history.item,
        "later choices": relevant.values,
        "first stage": _filled(candidates.head(k)),
        "both stages": _filled(ranked.head(k)),
    }
    has_ranker = recommender.ranker is not None
    return {
        "n_users": len(queries),
        "stages": stages_of(whole, relevant),
        "scores": scores_of(ranked, hits) if has_ranker else None,
        "reliability": reliability_of(ranked, hits) if has_ranker else None,
        "exposure": exposure_of(holdout.history.item_counts(), shown),
    }


def examples_of(
    recommender: TwoStageRecommender,
    holdout: Holdout,
    names: tuple[Array, Array],
    title: Callable[[int], str],
    *,
    n: int = 4,
    k: int = 10,
    shown: int = 8,
    seed: int = 0,
) -> tuple[Example, ...]:
    """Lists of a few users drawn at random, so that they are neither the best nor the worst.

    Args:
        recommender: what makes the lists.
        holdout: histories and targets.
        names: external ids of users and of items.
        title: called with an internal item id, says what people call it.
        n: users.
        k: places of a list.
        shown: newest distinct items of a history.
        seed: of the draw.
    """
    queries, relevant = sampled(holdout, n, seed)
    top = recommender.recommend(queries, k)
    hits = hits_of(top, relevant)
    users, items = names

    def place(item: int, hit: bool = False) -> Place:
        return Place(str(items[item]), title(item), hit)

    return tuple(
        Example(
            str(users[user]),
            len(queries.histories[row]),
            tuple(place(item) for item in list(dict.fromkeys(queries.histories[row][::-1].tolist()))[:shown]),
            tuple(place(int(i), bool(h)) for i, h in zip(top.items[row], hits[row], strict=True) if i != NO_ITEM),
            len(relevant[row]),
        )
        for row, user in enumerate(queries.users)
    )


def _top_values(values: Categories, rows: Ids, top: int) -> tuple[Ids, tuple[str, ...]]:
    """Group 0.. of each row for the most frequent values, the last for all others."""
    codes = values.codes[rows]
    counts = np.bincount(codes[codes != MISSING], minlength=len(values.values))
    common = [int(code) for code in np.argsort(-counts, kind="stable")[:top] if counts[code]]
    group = np.full(len(rows), len(common))
    for at, code in enumerate(common):
        group[codes == code] = at
    return group, (*(str(values.values[code]) for code in common), "other")


def _separation(plane: Array, group: Ids) -> float:
    """Share of the plane's variance that lies between the named groups (the last group is everything else)."""
    named = group < group.max(initial=0) if len(set(group.tolist())) > 2 else np.ones(len(group), bool)
    if named.mean() < 0.5 or len(set(group[named].tolist())) < 2:
        return 0.0
    chosen, label = plane[named], group[named]
    total = ((chosen - chosen.mean(0)) ** 2).sum()
    within = sum(((chosen[label == g] - chosen[label == g].mean(0)) ** 2).sum() for g in set(label.tolist()))
    return float(1 - within / total) if total else 0.0


def _filled(topk: TopK) -> Ids:
    items: Ids = topk.items[topk.items != NO_ITEM]
    return items


def _numbers(values: Array) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
