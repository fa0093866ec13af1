"""What there is to know of a data set at a glance: counts, times, density, feature columns, fingerprint."""

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np

from twotower.data.categories import MISSING, Categories, MultiCategories
from twotower.data.dataset import Dataset
from twotower.data.tables import MISSING_TIME, ColumnValues, FeatureTable

Fact = tuple[str, str]


def facts(dataset: Dataset) -> list[Fact]:
    """Names and values for people, one a line."""
    events = dataset.interactions
    pairs = len(np.unique(events.pair_keys()))
    cells = max(1, dataset.n_users * dataset.n_items)
    return [
        ("data set", dataset.name),
        ("users", f"{dataset.n_users:,} ({len(np.unique(events.user)):,} with events)"),
        ("items", f"{dataset.n_items:,} ({int((events.item_counts() > 0).sum()):,} with events)"),
        ("events", f"{len(events):,} ({pairs:,} distinct pairs, {pairs / cells:.4%} of all)"),
        *_kinds(dataset),
        ("times", _times(events.time)),
        *_columns("user feature", dataset.users),
        *_columns("item feature", dataset.items),
        ("fingerprint", dataset.fingerprint()),
    ]


def facts_table(dataset: Dataset) -> str:
    """`facts` as aligned text."""
    rows = facts(dataset)
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def missing_share(values: ColumnValues) -> float:
    """Share of rows without a value."""
    if not len(values):
        return 0.0
    if isinstance(values, Categories):
        missing = values.codes == MISSING
    elif isinstance(values, MultiCategories):
        missing = values.codes.lengths == 0
    elif values.dtype == object:
        missing = values == ""
    else:
        missing = values == MISSING_TIME if values.dtype == np.int64 else np.isnan(values)
    return float(np.mean(missing))


def _kinds(dataset: Dataset) -> Iterator[Fact]:
    events = dataset.interactions
    for code, kind in enumerate(events.kinds):
        values = events.value[events.kind == code]
        spread = (
            f", value {values.min():g} to {values.max():g}, mean {values.mean(dtype=float):.4f}" if len(values) else ""
        )
        yield f"kind {kind}", f"{len(values):,}{spread}"


def _times(times: np.ndarray) -> str:
    if not len(times) or times.max() == 0:
        return "unknown"
    first, last = (datetime.fromtimestamp(int(t), UTC) for t in (times.min(), times.max()))
    return f"{first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC"


def _columns(what: str, table: FeatureTable) -> Iterator[Fact]:
    for column in table.schema.columns:
        values = table[column.name]
        size = f", {len(values.values):,} values" if isinstance(values, Categories | MultiCategories) else ""
        yield f"{what} {column.name}", f"{column.kind}{size}, {missing_share(values):.2%} missing"
