"""A second stage that sees the pair at the moment of asking: candidates of several sources, pair features, a scorer."""
