"""The figures by which the simulated market is compared with the published one."""

from collections.abc import Mapping

import numpy as np

from twotower.data.dataset import Dataset
from twotower.data.sources.marketplace.calendar import START, TEST_START, WEEK
from twotower.data.tables import Categories
from twotower.types import Array

PUBLISHED: dict[str, float] = {
    "users": 100_000,
    "items": 1_711_190,
    "categorical values": 3_271,
    "events, week 14": 3_575_017,
    "events, week 15": 3_667_576,
    "events, week 16": 3_715_980,
    "events, week 17": 3_175_047,
    "events, week 18": 3_159_619,
    "share of views": 0.87,
    "share of saves": 0.126,
    "share of contacts": 0.004,
    "train pairs": 6_474_853,
    "pairs per user, mean": 64.84,
    "pairs per user, sd": 107.28,
    "pairs per user, quartile 1": 11,
    "pairs per user, median": 30,
    "pairs per user, quartile 3": 75,
    "pairs per user, max": 5_235,
    "pairs per item, mean": 4.27,
    "pairs per item, sd": 6.36,
    "pairs per item, quartile 1": 1,
    "pairs per item, median": 2,
    "pairs per item, quartile 3": 7,
    "pairs per item, max": 768,
    "events on the top 10 % of items": 0.43,
    "events on the top 1 % of items": 0.10,
    "test pairs": 1_618_191,
    "test pairs seen in training": 0.151,
    "users active in the test week": 65_870,
    "cold test users": 142,
    "test items": 684_319,
    "cold share of test items": 196_029 / 684_319,
    "test pairs per user, mean": 24.57,
    "test pairs per user, quartile 1": 4,
    "test pairs per user, median": 11,
    "test pairs per user, quartile 3": 28,
    "test pairs per user, max": 1_035,
    "test pairs per item, mean": 2.36,
    "test pairs per item, median": 1,
    "test pairs per item, quartile 3": 3,
    "test pairs per item, max": 246,
}
"""The published figures of the real market, at full size."""
COUNTS = (
    "users",
    "items",
    "train pairs",
    "test pairs",
    "users active in the test week",
    "cold test users",
    "test items",
)
"""Figures that grow with the number of users, besides the events of each week."""


def statistics(dataset: Dataset) -> dict[str, float]:
    """The same figures of a simulated market, under the same names."""
    events = dataset.interactions
    in_test = events.time >= TEST_START
    train, test = events.where(~in_test), events.where(in_test)
    train_pairs, test_pairs = np.unique(train.pair_keys()), np.unique(test.pair_keys())
    weeks = np.bincount((events.time - START) // WEEK, minlength=5)
    kinds = np.bincount(events.kind, minlength=len(events.kinds)) / len(events)
    known_items, test_items = np.unique(train.item), np.unique(test.item)
    test_users = np.unique(test.user)
    columns = [dataset.items[name] for name in dataset.items.schema.names]
    ranked = np.sort(train.item_counts())[::-1]
    ranked = ranked[ranked > 0]
    return {
        "users": dataset.n_users,
        "items": dataset.n_items,
        "categorical values": sum(len(c.values) for c in columns if isinstance(c, Categories)),
        **{f"events, week {14 + week}": int(n) for week, n in enumerate(weeks)},
        **{f"share of {name}s": float(kinds[events.kinds.index(name)]) for name in ("view", "save", "contact")},
        "train pairs": len(train_pairs),
        **_spread("pairs per user", train_pairs // dataset.n_items),
        **_spread("pairs per item", train_pairs % dataset.n_items),
        "events on the top 10 % of items": float(ranked[: len(ranked) // 10].sum() / ranked.sum()),
        "events on the top 1 % of items": float(ranked[: len(ranked) // 100].sum() / ranked.sum()),
        "test pairs": len(test_pairs),
        "test pairs seen in training": float(np.isin(test_pairs, train_pairs, assume_unique=True).mean()),
        "users active in the test week": len(test_users),
        "cold test users": len(np.setdiff1d(test_users, train.user)),
        "test items": len(test_items),
        "cold share of test items": len(np.setdiff1d(test_items, known_items)) / len(test_items),
        **_spread("test pairs per user", test_pairs // dataset.n_items),
        **_spread("test pairs per item", test_pairs % dataset.n_items),
    }


def scaled(name: str, n_users: int) -> float:
    """The published figure, counts scaled down to a market with fewer users."""
    counts = name in COUNTS or name.startswith("events, week")
    return PUBLISHED[name] * (n_users / PUBLISHED["users"] if counts else 1.0)


def comparison(measured: Mapping[str, Mapping[str, float]]) -> str:
    """A Markdown table: the published figures beside those of each size, by the name of the size."""
    lines = [["figure", "published", *measured], ["---", *["--:"] * (1 + len(measured))]]
    for name, published in PUBLISHED.items():
        lines.append([name, *(_shown(value) for value in (published, *(m[name] for m in measured.values())))])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.3g}" if value < 10 else f"{value:.1f}"


def _spread(name: str, owner: Array) -> dict[str, float]:
    """Mean, sd, quartiles and maximum of the number of pairs per owner that has any."""
    counts = np.unique(owner, return_counts=True)[1]
    quartiles = np.quantile(counts, [0.25, 0.5, 0.75])
    return {
        f"{name}, mean": float(counts.mean()),
        f"{name}, sd": float(counts.std(ddof=1)),
        f"{name}, quartile 1": float(quartiles[0]),
        f"{name}, median": float(quartiles[1]),
        f"{name}, quartile 3": float(quartiles[2]),
        f"{name}, max": int(counts.max()),
    }
