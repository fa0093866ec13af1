"""`MF`: matrix factorisation on ids alone, trained pairwise with BPR or WARP."""

from twotower.data.interactions import Interactions
from twotower.data.split import Split
from twotower.models.factorization.entities import EntityFeatures, EntityTable
from twotower.models.factorization.factors import FactorModel, Network, seen_items, seen_users
from twotower.models.factorization.pairwise import PairScorer


class MF(FactorModel):
    """One vector per user and item and one bias per item; ids without training events have none.

    Relations: HybridMF without features; ALS fits the same product to all pairs in closed form instead.

    Source: Rendle et al. 2009, "BPR: Bayesian personalized ranking from implicit feedback" (loss=bpr); Weston, Bengio &
    Usunier 2011, "WSABIE" (loss=warp); Adagrad: Duchi, Hazan & Singer 2011.
    """

    def _network(self, split: Split, events: Interactions) -> Network:
        users, items = EntityFeatures.identity(seen_users(events)), EntityFeatures.identity(seen_items(events))
        scorer = PairScorer(
            EntityTable(users, self.dim, self.seed), EntityTable(items, self.dim + 1, self.seed + 1, bias=True)
        )
        return Network(scorer)
