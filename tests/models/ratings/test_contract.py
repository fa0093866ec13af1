"""The contract of models that predict values, asked of those of this folder."""

from twotower.models.ratings.biases import RatingBiases
from twotower.models.ratings.matrix_factorization import RatingMF
from twotower.testing import PairModelTests


class TestRatingBiases(PairModelTests):
    is_personal = False

    def make(self) -> RatingBiases:
        return RatingBiases()


class TestRatingMF(PairModelTests):
    def make(self) -> RatingMF:
        return RatingMF(dim=8, lr=0.1, batch_size=64)
