"""Section `popularity`: shares of the shelves of the catalogue."""

import numpy as np

from twotower.reports.sections.popularity import exposure_of


def test_the_most_popular_hundredth_is_the_first_shelf():
    exposure = exposure_of(np.arange(100), {"shown": np.array([99, 99, 98, 0])})  # item 99 has the most events
    assert exposure.shares["shown"] == (0.5, 0.25, 0.0, 0.0, 0.25)
