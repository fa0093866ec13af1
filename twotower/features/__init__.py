"""Raw columns become codes and z-values; histories become profiles."""

from twotower.features.cosine import RawCosine
from twotower.features.encoded import Bags, EncodedTable
from twotower.features.encoders import FeatureEncoder
from twotower.features.item_states import ItemStates
from twotower.features.markov import MarkovWeights
from twotower.features.profiles import ProfileLearner, Profiles
from twotower.features.vocabulary import Vocabulary

__all__ = [
    "Bags",
    "EncodedTable",
    "FeatureEncoder",
    "ItemStates",
    "MarkovWeights",
    "ProfileLearner",
    "Profiles",
    "RawCosine",
    "Vocabulary",
]
