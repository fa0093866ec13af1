"""The two-tower system: UserNet and ItemNet to retrieve by, RankNet to rank with, and their joint training."""
