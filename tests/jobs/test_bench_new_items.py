"""The benchmark of new items: what competes, and one member of a blend alone."""

import runpy
from pathlib import Path

import numpy as np

from twotower.data.splitters import ColdItems
from twotower.models.blend import Blend, standardised
from twotower.models.content.knn import ContentKNN
from twotower.models.popular import Popular

JOB = runpy.run_path(str(Path(__file__).parents[2] / "pipelines/bench/new_items.py"), run_name="bench")


def test_new_items_compete_among_themselves_for_every_user_with_a_target(two_tastes):
    validation = ColdItems(share=0.2).split(two_tastes.dataset).validation
    among = JOB["among_new"](validation)
    new = set(validation.target.item.tolist())
    for queries, relevant in among.blocks(7):
        for row in range(len(queries)):
            assert set(range(50)) - set(queries.exclusions[row].tolist()) == new >= set(relevant[row].tolist())
    assert not new & set(validation.history.item.tolist())
    idle = np.setdiff1d(np.arange(validation.target.n_users), validation.users())
    assert not among.candidates.lengths[idle].any()


def test_a_member_alone_scores_as_it_does_outside(two_tastes):
    blend = Blend(members=[Popular(), ContentKNN()], weights=[1.0, 2.0]).fit(two_tastes)
    alone, asked = JOB["only"](blend, 1), two_tastes.test.queries()
    np.testing.assert_allclose(alone.score(asked), standardised(ContentKNN().fit(two_tastes).score(asked)), atol=1e-5)
    assert alone.recommend(asked, 5).items.tolist() == ContentKNN().fit(two_tastes).recommend(asked, 5).items.tolist()
