"""What metrics are called where people read them, at a cut-off or at any, and what they mean.

Keys such as "map@10" name figures in code; labels such as "map@10[min]" name them in tables and figures.
"""

from collections.abc import Mapping

from twotower.metrics.metric import facts_of, name_and_cut_off, sentence

CATALOGUE: Mapping[str, tuple[str, str]] = {
    "coverage": ("coverage", "share of items shown to anybody"),
    "gini": ("Gini", "inequality of exposure: 0 is equal, towards 1 all for one item"),
    "novelty": ("novelty, bits", "mean surprise of a shown item: -log2 of its share of the events"),
    "diversity": ("diversity", "mean cosine distance of a list's items, by their encoded features"),
    "popularity_bias": ("popularity bias", "mean popularity of shown items over that of the events: 1 is the same"),
}
"""Metrics of all lists together: to their label and their definition."""


def metric_label(metric: str) -> str:
    """The label of "map@10", of "map" at any cut-off, or of "rmse".

    Raises:
        BadConfig: there is no such metric.

    >>> metric_label("map@10"), metric_label("map"), metric_label("recall@5"), metric_label("rmse")
    ('map@10[min]', 'map@k[min]', 'recall@5', 'RMSE')
    """
    name, k = name_and_cut_off(metric)
    return facts_of(name).label.format(k=k or "k")


def metric_meaning(metric: str) -> str:
    """The definition of "map@10", "map" or "rmse" as a sentence.

    >>> metric_meaning("recall@5")
    'Mean of hits / relevant items.'
    """
    return sentence(facts_of(name_and_cut_off(metric)[0]).meaning)
