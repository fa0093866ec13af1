"""`RecommendUsers`: the work of recommending to many users: external ids in, ranked lists in external ids out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from twotower.errors import BundleError
from twotower.jobs.parts import Step, looked_up
from twotower.runs.bundle import Bundle
from twotower.runs.served_run import ServedRun, headings
from twotower.stages.recommender import ways
from twotower.types import NO_ITEM, UNKNOWN_USER, TopK


@dataclass(frozen=True, slots=True)
class RecommendUsers:
    """A column of user ids to `user, rank, item, score, how`: the lists that `twotower.recommend` prints.

    `rank` counts from 1. `score` is what the list is ordered by: RankNet's, or the number of events where `how` says
    that the user is unknown and gets popular items.

    Attributes:
        run: directory of the run.
        state: `run_state` of it, when the job began.
        column: of user ids.
        k: wanted items for each user.
        changes: `ServeOptions` that differ from those of the run.
    """

    run: str
    state: Mapping[str, Any]
    column: str
    k: int = 10
    changes: Mapping[str, Any] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """The run, its index, and how lists are made."""
        return {"job": "batch_recommend", "run": dict(self.state), "k": self.k, "options": dict(self.changes)}

    def open(self) -> Step:
        """Loads the run.

        Raises:
            BundleError: the run or its index was exchanged since the job began.
        """
        served = ServedRun.open(Path(self.run)).under(**self.changes)
        if run_state(Bundle.open(Path(self.run))) != self.state:
            raise BundleError(f"run {served.name!r} or its index was exchanged meanwhile; type the command again")

        def recommend(rows: pa.Table, first: int) -> pa.Table:
            users, known = looked_up(rows[self.column], served.files.user_ids, UNKNOWN_USER, first)
            queries = served.files.queries(known, exclude_seen=served.options.exclude_seen)
            how = headings(ways(queries), known != UNKNOWN_USER)
            k = min(self.k, len(served.files.item_ids))
            return _as_rows(served, users, how, served.recommender.recommend(queries, k))

        return recommend


def run_state(bundle: Bundle) -> dict[str, Any]:
    """What tells two states of a run apart that could answer differently."""
    index = bundle.index_manifest()
    return {
        "model": bundle.model_digest,
        "created": bundle.manifest["created"],
        "index": None if index is None else index["created"],
        "index_options": None if index is None else index.get("options"),
    }


def _as_rows(served: ServedRun, users: pa.Array, how: Sequence[str], top: TopK) -> pa.Table:
    """One row per place; lists that came out short leave no padding."""
    row, place = np.nonzero(top.items != NO_ITEM)
    way = pa.array(how, pa.string()).dictionary_encode()
    return pa.table(
        {
            "user": users.take(pa.array(row)),
            "rank": pa.array((place + 1).astype(np.int32)),
            "item": pa.array(served.files.item_ids.to_external(top.items[row, place])),
            "score": pa.array(top.scores[row, place].astype(np.float32)),
            "how": way.take(pa.array(row)),
        }
    )
