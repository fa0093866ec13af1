"""Item features as rows of length 1: what the diversity of lists is measured with, whatever the model learnt."""

import numpy as np
from scipy.sparse import csr_array, hstack

from twotower.data.split import Split
from twotower.features.encoded import as_matrix
from twotower.features.encoders import FeatureEncoder
from twotower.metrics.catalogue import unit_rows

MIN_COUNT = 2
"""A value that one item alone has cannot make it like another."""


def item_features(split: Split) -> csr_array | None:
    """Encoded features of the whole catalogue as it stands at the test; None where the data set has none.

    Every field is a block of columns: one-hot or one-many codes, and z-values. The title counts for nothing.

    Returns:
        Rows of length 1; zeros where nothing is known. Shape [N, F].
    """
    data = split.dataset
    table = data.items_at(split.test.at)
    exclude = [data.title] if data.title else []
    encoder = FeatureEncoder.fit(table, min_count=MIN_COUNT, missing_indicator=False, exclude=exclude)
    encoded = encoder.transform(table)
    blocks = [as_matrix(codes, encoded.sizes[name]) for name, codes in encoded.codes.items()]
    if encoded.continuous.shape[1]:
        blocks.append(csr_array(encoded.continuous / np.sqrt(encoded.continuous.shape[1])))
    return unit_rows(csr_array(hstack(blocks))) if blocks else None
