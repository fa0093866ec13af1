"""What a metric is called where people read it: the one place that gives every figure its variant.

Keys such as "map@10" name per-user values in code; labels such as "map@10[min]" name them in tables and figures.
"""

from collections.abc import Mapping

from twotower.errors import BadInput

VARIANTS: Mapping[str, tuple[str, str]] = {
    "map": ("map@{k}[min]", "mean average precision, divisor min(k, relevant items)"),
    "map_rel": ("map@{k}[rel]", "mean average precision, divisor relevant items, as trec_eval"),
    "precision": ("precision@{k}", "mean of hits / k (some papers call this MAP@k)"),
    "recall": ("recall@{k}", "mean of hits / relevant items"),
    "ndcg": ("ndcg@{k}", "binary gains, discount log2(rank + 1), ideal of min(k, relevant items) hits"),
    "ndcg_linear": ("ndcg@{k}[linear]", "graded gains, gain = grade, discount log2(rank + 1)"),
    "ndcg_exp": ("ndcg@{k}[exp]", "graded gains, gain = 2^grade - 1, discount log2(rank + 1)"),
    "mrr": ("mrr@{k}", "mean of 1 / rank of the first hit within k, else 0"),
    "hit_rate": ("hit_rate@{k}", "share of users with a hit within k"),
    "f1": ("f1@{k}", "mean of 2 hits / (k + relevant items)"),
}
"""Metric to its label ("{k}" stands for the cut-off) and its definition."""


CATALOGUE: Mapping[str, tuple[str, str]] = {
    "coverage": ("coverage", "share of items shown to anybody"),
    "gini": ("Gini", "inequality of exposure: 0 is equal, towards 1 all for one item"),
    "novelty": ("novelty, bits", "mean surprise of a shown item: -log2 of its share of the events"),
    "diversity": ("diversity", "mean cosine distance of a list's items, by their encoded features"),
    "popularity_bias": ("popularity bias", "mean popularity of shown items over that of the events: 1 is the same"),
}
"""Metrics of all lists together: to their label and their definition."""


def metric_label(metric: str) -> str:
    """The label of "map@10", or of "map" at any cut-off.

    Raises:
        BadInput: a metric without a label.

    >>> metric_label("map@10"), metric_label("map"), metric_label("recall@5")
    ('map@10[min]', 'map@k[min]', 'recall@5')
    """
    name, _, k = metric.partition("@")
    return _variant(name)[0].format(k=k or "k")


def metric_meaning(metric: str) -> str:
    """The definition of "map@10" or "map" as a sentence.

    >>> metric_meaning("recall@5")
    'Mean of hits / relevant items.'
    """
    text = _variant(metric.partition("@")[0])[1]
    return f"{text[0].upper()}{text[1:]}."


def _variant(name: str) -> tuple[str, str]:
    if name not in VARIANTS:
        raise BadInput(f"metric {name!r} has no label; there are {', '.join(VARIANTS)}")
    return VARIANTS[name]
