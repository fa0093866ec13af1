"""Factor models of libraries that people know, as `ScoringModel`s; the extra `peers` brings the libraries."""
