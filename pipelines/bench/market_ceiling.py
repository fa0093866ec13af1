"""Job: how hard the simulated market is: models that know identities or features beside oracles that know the tastes.

    python pipelines/bench/market_ceiling.py demo                          # als, item_knn, hybrid; the two oracles
    python pipelines/bench/market_ceiling.py small als mf_warp dim=100 --users 2000
    python pipelines/bench/market_ceiling.py demo als --version 1 --seed 3

Asked once, on the Monday of the test week, for all users with new pairs in it (or so many drawn ones); ads that are
sold by then are left out for all. Models are names of conf/model whose options are those of the file unless words with
"=" change them; they learn from training and validation days. Beside each figure stands its standard error.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from omegaconf import OmegaConf

from twotower.config.models import listed_model
from twotower.data.sources.marketplace import Market, MarketOracle, Marketplace
from twotower.data.split import Split
from twotower.data.splitters import ByWeek
from twotower.metrics.ranking import average_precision, precision
from twotower.models.base import ScoringModel
from twotower.topk import top_k
from twotower.types import Queries, TopK

K = 5
BLOCK_CELLS = 20_000_000
"""Scores held at once: 80 MB."""
MODELS = ("als", "item_knn", "hybrid")

Lists = Callable[[Queries], TopK]


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table, a line as soon as it is known."""
    options = parsed(arguments)
    names = [word for word in options.words if "=" not in word] or list(MODELS)
    changes = OmegaConf.to_container(OmegaConf.from_dotlist([word for word in options.words if "=" in word]))
    market = Marketplace(size=options.size, seed=options.seed, version=options.version).simulate()
    split = ByWeek(test_week="2017-W18").split(market.dataset)
    rows = drawn(len(split.test.users()), options.users)
    queries, relevant = split.test.queries().take(rows), split.test.relevant().take(rows)
    print(f"| {market.dataset.name}, {len(rows):,} users | precision@{K} | MAP@{K} | seconds |\n|---|--:|--:|--:|")
    for name in [*names, "ceiling", "flat oracle"]:
        began = time.perf_counter()
        lists = contender(name, market, split, changes)(queries)
        hits, mean = precision(lists, relevant, K), average_precision(lists, relevant, K)
        seconds = time.perf_counter() - began
        print(f"| {name} | {figure(hits, 100, 2)} % | {figure(mean, 1, 4)} | {seconds:.0f} |", flush=True)
    return 0


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The words of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", choices=("demo", "small", "quarter", "full"))
    parser.add_argument("words", nargs="*", metavar="MODEL|KEY=VALUE", help="models, and options for all of them")
    parser.add_argument("--users", type=int, help="so many drawn users instead of all")
    parser.add_argument("--seed", type=int, default=0, help="of the market")
    parser.add_argument("--version", type=int, default=2, help="of the market's rules")
    options, more = parser.parse_known_args(arguments)
    options.words += more
    return options


def drawn(n: int, wanted: int | None) -> np.ndarray:
    """Rows of so many users, always the same ones; all where none are counted."""
    return np.sort(np.random.default_rng(0).permutation(n)[:wanted])


def contender(name: str, market: Market, split: Split, changes: Any) -> Lists:
    """What makes lists under a name: an oracle, or a model that is fitted for it."""
    at = split.test.at
    if name in ("ceiling", "flat oracle"):
        oracle = MarketOracle.ceiling(market, at) if name == "ceiling" else MarketOracle.flat(market, at)
        return lambda queries: oracle.recommend(queries, K)
    model = cast(ScoringModel, listed_model(name).make(**changes))
    model.fit_for_test(split)
    assert split.dataset.lifetimes is not None
    for_sale = split.dataset.lifetimes.available(at)
    return lambda queries: of_scores(model, queries, for_sale)


def of_scores(model: ScoringModel, queries: Queries, for_sale: np.ndarray) -> TopK:
    """A model's lists of ads that are for sale. Shape [B, K]."""
    parts = [
        top_k(model.score(block), K, block.exclusions, for_sale)
        for block in queries.blocks(max(1, BLOCK_CELLS // len(for_sale)))
    ]
    return TopK(np.concatenate([part.items for part in parts]), np.concatenate([part.scores for part in parts]))


def figure(per_user: Any, factor: float, digits: int) -> str:
    """Mean and standard error over users."""
    values = factor * np.asarray(per_user, np.float64)
    return f"{values.mean():.{digits}f} ± {values.std(ddof=1) / np.sqrt(len(values)):.{digits}f}"


if __name__ == "__main__":
    sys.exit(main())
