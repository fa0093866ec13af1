"""Every ranking metric against trec_eval (by ir-measures) and ranx on the same 10,000 random cases, to 1e-9."""

import functools
import warnings

import ir_measures
import numpy as np
import pytest

from twotower.metrics.ranking import as_topk, ranking_metrics
from twotower.types import Ragged

N_CASES, N_ITEMS = 10_000, 40
KS = (1, 3, 10)
LONGEST = 15


@functools.cache
def cases():
    """Lists of 1 to 15 items, 1 to 24 relevant items, so that either is shorter and longer than k and the other."""
    rng = np.random.default_rng(20)
    drawn = rng.random((2, N_CASES, N_ITEMS)).argsort(axis=2)  # two random orders of all items per case
    lists = [row[:n].tolist() for row, n in zip(drawn[0], rng.integers(1, LONGEST + 1, N_CASES), strict=True)]
    wanted = [row[:n].tolist() for row, n in zip(drawn[1], rng.integers(1, 25, N_CASES), strict=True)]
    return lists, wanted, ranking_metrics(as_topk(lists), Ragged.from_lists(wanted), (*KS, LONGEST))


@functools.cache
def as_dictionaries():
    lists, wanted, _ = cases()
    truth = {str(u): {str(i): 1 for i in items} for u, items in enumerate(wanted)}
    run = {str(u): {str(i): float(LONGEST - rank) for rank, i in enumerate(items)} for u, items in enumerate(lists)}
    return truth, run


def largest_difference(theirs):
    """Over all cases and metrics given by our name."""
    _, _, ours = cases()
    return max(float(np.abs(ours[name] - values).max()) for name, values in theirs.items())


def test_ten_thousand_cases_agree_with_trec_eval():
    truth, run = as_dictionaries()
    names = {"precision": "P", "recall": "R", "ndcg": "nDCG", "hit_rate": "Success", "map_rel": "AP"}
    asked = {ir_measures.parse_measure(f"{theirs}@{k}"): f"{our}@{k}" for our, theirs in names.items() for k in KS}
    asked[ir_measures.RR] = f"mrr@{LONGEST}"  # there it has no cut-off
    theirs = {name: np.full(N_CASES, np.nan) for name in asked.values()}
    for value in ir_measures.iter_calc(list(asked), truth, run):
        theirs[asked[value.measure]][int(value.query_id)] = value.value
    relevant = np.array([len(items) for items in cases()[1]])
    for k in KS:  # what trec_eval lacks follows from what it has
        theirs[f"map@{k}"] = theirs[f"map_rel@{k}"] * relevant / np.minimum(k, relevant)
    assert largest_difference(theirs) <= 1e-9


@pytest.mark.slow  # numba compiles ranx's metrics first
def test_ten_thousand_cases_agree_with_ranx():
    ranx = pytest.importorskip("ranx")
    names = {"precision": "precision", "recall": "recall", "ndcg": "ndcg", "hit_rate": "hit_rate", "map_rel": "map",
             "mrr": "mrr", "f1": "f1"}  # fmt: skip
    asked = {f"{theirs}@{k}": f"{our}@{k}" for our, theirs in names.items() for k in KS}
    truth, run = as_dictionaries()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numba on casts within ranx
        run = ranx.Run(run)
        ranx.evaluate(ranx.Qrels(truth), run, list(asked))
    found = {ours: run.scores[theirs] for theirs, ours in asked.items()}
    by_case = {name: np.array([values[str(u)] for u in range(N_CASES)]) for name, values in found.items()}
    assert largest_difference(by_case) <= 1e-9
