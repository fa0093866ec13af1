"""`ExaminedRun`: a published run that a report is about, opened and watched once for all sections that measure it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from twotower.data.split import FULL_CATALOGUE, SAMPLED, Split
from twotower.evaluation.report import Report
from twotower.reports.watching import Watched, watch
from twotower.runs.bundle import Bundle
from twotower.runs.served_run import ServedRun
from twotower.stages.recommender import TwoStageRecommender


@dataclass(frozen=True, eq=False)
class ExaminedRun:
    """A run and how it was examined.

    Attributes:
        bundle: the run.
        split: whose test is asked.
        report: of the run and others.
        settings: of the evaluation, as composed.
    """

    bundle: Bundle
    split: Split
    report: Report
    settings: Mapping[str, Any]

    @property
    def seed(self) -> int:
        """Of every draw."""
        return int(self.settings["eval"]["seed"])

    @property
    def on_full_catalogue(self) -> bool:
        """Whether no competitors are drawn; else lists out of the catalogue mean something else."""
        return not str(self.report.split.get("competitors", FULL_CATALOGUE)).startswith(SAMPLED)

    @cached_property
    def served(self) -> ServedRun:
        """The run as it answers."""
        return ServedRun.open(self.bundle.directory)

    @cached_property
    def recommender(self) -> TwoStageRecommender:
        """Both stages, with as many candidates as the evaluation asked for."""
        return TwoStageRecommender(
            self.served.direct,
            self.served.recommender.ranker,
            n_candidates=int(self.settings["n_candidates"]),
            popularity=self.served.popularity_then,
        )

    @cached_property
    def watched(self) -> Watched | None:
        """Both stages at work for users of the test; None where these are asked about a few sampled items only.

        Raises:
            BadInput: nobody has a target.
        """
        return watch(self.recommender, self.split.test, seed=self.seed) if self.on_full_catalogue else None
