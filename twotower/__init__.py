"""Two-stage recommendation: towers retrieve, RankNet ranks, reports say how much better that is."""

__version__ = "0.1.0"
