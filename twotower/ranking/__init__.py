"""Second stage: RankNet and the candidates that it rescores."""
