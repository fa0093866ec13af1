"""Section `vectors`: item vectors in the plane, coloured by the feature that neighbours share most."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes

from twotower.data.categories import MISSING, Categories
from twotower.data.tables import FeatureTable
from twotower.evaluation.report import Report
from twotower.reports.examined_run import ExaminedRun
from twotower.reports.figures import Look, legend, series
from twotower.reports.section import ReportFigure, Section
from twotower.reports.watching import floats
from twotower.types import Array, Floats, Ids


@dataclass(frozen=True, slots=True)
class VectorMap:
    """Two principal components of some item vectors, coloured by a feature; `explained` of their variance."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    group: tuple[int, ...]
    names: tuple[str, ...]
    feature: str
    explained: float


@dataclass(frozen=True, slots=True)
class ItemVectors:
    """The map of a run's item vectors."""

    vectors: VectorMap


class Vectors(Section[ItemVectors]):
    """What the towers learnt about items, for the eye."""

    name = "vectors"

    def measure(self, run: ExaminedRun) -> ItemVectors | None:
        """The map; None for a model without item vectors, or items without a categorical feature."""
        if not run.bundle.has_vectors:
            return None
        vectors = vector_map(run.bundle.item_vectors(), run.served.files.catalogue, seed=run.seed)
        return ItemVectors(vectors) if vectors else None

    def figures(self, report: Report, value: ItemVectors | None) -> list[ReportFigure]:
        """The map."""
        return [ReportFigure("map", partial(draw_map, value.vectors), "Item vectors in the plane")] if value else []


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
    return VectorMap(floats(plane[:, 0]), floats(plane[:, 1]), tuple(int(g) for g in group), names, feature, explained)


def draw_map(vectors: VectorMap, axes: Axes, look: Look) -> None:
    """Items in the plane; each value of the feature has a colour and a form."""
    x, y, group = np.array(vectors.x), np.array(vectors.y), np.array(vectors.group)
    rest = len(vectors.names) - 1
    if (group == rest).any():
        axes.scatter(x[group == rest], y[group == rest], s=6, color=look.line, marker=".", label=vectors.names[rest])
    for at, name in enumerate(vectors.names[:rest]):
        mask, style = group == at, series(at, look)
        axes.scatter(
            x[mask], y[mask], s=11, color=style["color"], marker=style["marker"], alpha=0.75, label=name, linewidths=0
        )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel("first principal component")
    axes.set_ylabel("second")
    legend(axes, look, marker_scale=2.5)


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
