"""TowerEncoder: what is served is what was trained, for known and unknown users, in any block."""

import numpy as np
import pytest
import torch

from twotower.errors import BadConfig
from twotower.models.two_tower import encoder as encoder_module
from twotower.models.two_tower.encoder import TowerEncoder
from twotower.models.two_tower.objective import Objective
from twotower.types import NO_ITEM, UNKNOWN_USER, Queries, Ragged

EVERY_EVENT = {"window_days": None, "refresh_days": 100 / 86_400, "min_events": 1, "markov_weights": None}
"""Profiles that are made again after each event: the times of the two tastes are multiples of 100 seconds."""


def queries_of(users: list[int], histories: list[list[int]]) -> Queries:
    return Queries.of(np.array(users), Ragged.from_lists(histories))


def unknown(*histories: list[int]) -> Queries:
    return queries_of([UNKNOWN_USER] * len(histories), list(histories))


@pytest.mark.parametrize("history", ["mean", "attention", "transformer", None])
@pytest.mark.parametrize("profiles", [False, True])
def test_the_vector_at_a_position_of_training_is_the_one_served_for_the_same_history(bench, history, profiles):
    built = bench(
        towers={"history": history, "dropout": 0.3},
        features={"profiles": profiles, **(EVERY_EVENT if profiles else {})},
    )
    batch = next(built.batches.epoch(0))
    _, _, seen = built.first_step()
    trained = seen["user_net"][1].detach().numpy()  # [W, T, D]
    for time in np.unique(batch.times[batch.mask]):
        rows, positions = np.nonzero(batch.mask & (batch.times == time))
        histories = [batch.targets[w, :t].tolist() for w, t in zip(rows, positions, strict=True)]
        served = built.encoder(int(time)).user_vectors(queries_of(batch.users[rows].tolist(), histories))
        np.testing.assert_allclose(served, trained[rows, positions], atol=2e-6)


def test_a_history_of_content_is_served_as_it_was_trained_and_knows_no_identities(bench):
    built = bench(towers={"history_items": "content", "dropout": 0.3}, features={"profiles": False})
    assert built.model.history_net.identities is None
    batch = next(built.batches.epoch(0))
    _, _, seen = built.first_step()
    rows, positions = np.nonzero(batch.mask)
    histories = [batch.targets[w, :t].tolist() for w, t in zip(rows, positions, strict=True)]
    served = built.encoder().user_vectors(queries_of(batch.users[rows].tolist(), histories))
    np.testing.assert_allclose(served, seen["user_net"][1].detach().numpy()[rows, positions], atol=2e-6)
    ours, theirs = (net.project[0].weight for net in (built.model.history_net, built.model.item_net))
    assert torch.equal(ours, theirs)  # at the start
    assert ours is not theirs
    loss = built.first_step()[0]
    loss.backward()
    assert ours.grad.abs().sum() > 0


def test_a_history_of_content_needs_content(bench, two_tastes_bare):
    with pytest.raises(BadConfig, match="the items have no features"):
        bench(split=two_tastes_bare, towers={"history_items": "content"})


@pytest.mark.parametrize("size", [1, 7])
def test_any_block_size_gives_the_same_vectors(bench, size, monkeypatch):
    encoder = bench().encoder()
    queries = queries_of([0, UNKNOWN_USER, 3, UNKNOWN_USER, 5] * 4, [[1, 2], [4], [], [], [1, 2, 3, 4, 5]] * 4)
    whole = encoder.user_vectors(queries)
    monkeypatch.setattr(encoder_module, "BLOCK", size)
    np.testing.assert_allclose(encoder.user_vectors(queries.take(np.arange(20))), whole, atol=2e-6)


def test_vectors_have_unit_length_and_follow_the_order_of_the_queries(bench):
    encoder = bench().encoder()
    queries = queries_of([7, UNKNOWN_USER, 2], [[1], [3, 4], [5, 6]])
    vectors = encoder.user_vectors(queries)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    backwards = encoder.user_vectors(queries.take(np.array([2, 1, 0])))
    np.testing.assert_allclose(backwards[::-1], vectors, atol=2e-6)


def test_repeated_items_of_a_history_count_once_at_their_first_place(bench):
    encoder = bench(features={"profiles": False}).encoder()
    repeated, once = encoder.user_vectors(unknown([3, 5, 3, 3, 8, 5], [3, 5, 8]))
    np.testing.assert_allclose(repeated, once, atol=2e-6)


@pytest.mark.parametrize("profiles", [False, True])
def test_items_that_nobody_knows_count_as_nothing(bench, profiles):
    encoder = bench(features={"profiles": profiles}).encoder()
    mixed, clean, only, none = encoder.user_vectors(unknown([NO_ITEM, 3, NO_ITEM, 5], [3, 5], [NO_ITEM], []))
    np.testing.assert_allclose(mixed, clean, atol=2e-6)
    np.testing.assert_allclose(only, none, atol=2e-6)


def test_only_the_most_recent_items_are_read(bench):
    encoder = bench(features={"profiles": False}).encoder()  # length 6: the start and five items
    long, short, shorter = encoder.user_vectors(unknown([9, 8, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5], [2, 3, 4, 5]))
    np.testing.assert_allclose(long, short, atol=2e-6)
    assert not np.allclose(short, shorter)


def test_unknown_users_differ_by_their_histories_alone(bench):
    vectors = bench().encoder().user_vectors(unknown([], [], [2, 4], [1, 3], [2, 4]))
    np.testing.assert_allclose(vectors[0], vectors[1], atol=2e-6)
    np.testing.assert_allclose(vectors[2], vectors[4], atol=2e-6)
    assert not np.allclose(vectors[0], vectors[2])
    assert not np.allclose(vectors[2], vectors[3])


def test_an_unknown_user_gets_the_profile_that_the_history_would_have_given_a_known_one(bench):
    built = bench(towers={"history": None}, features={**EVERY_EVENT, "exclude": ("region",)})
    histories = built.split.train.by_user()
    for user in (0, 1, 33):
        own = histories[user].tolist()
        known, stranger = built.encoder().user_vectors(queries_of([user, UNKNOWN_USER], [own, own]))
        np.testing.assert_allclose(stranger, known, atol=2e-6)


def test_own_features_set_known_users_apart(bench):
    encoder = bench(features={"profiles": False}).encoder()
    north, south, north_too, stranger = encoder.user_vectors(queries_of([0, 1, 3, UNKNOWN_USER], [[5]] * 4))
    np.testing.assert_allclose(north, north_too, atol=2e-6)
    assert not np.allclose(north, south)
    assert not np.allclose(north, stranger)


def test_no_queries_give_no_vectors(bench):
    built = bench()
    assert built.encoder().user_vectors(unknown()).shape == (0, built.towers.dim)


def test_the_wide_share_is_that_of_user_and_profile(bench):
    built = bench(Objective(negatives=("uniform",)))
    for table in built.model.rank_net.wide.parameters():
        table.data.normal_()
    states = built.encoder().encode(queries_of([4, UNKNOWN_USER], [[], []]))
    inputs = built.encoder().inputs.to(torch.device("cpu"))
    rows = torch.tensor([4, len(inputs.users) - 1])
    expected = built.model.wide_users(inputs.users.take(rows), inputs.profiles.take(rows))
    torch.testing.assert_close(states.wide, expected)


def test_the_newest_answer_is_kept_for_the_ranker(bench, monkeypatch):
    encoder, asked = bench().encoder(), []
    encode = TowerEncoder._encode
    monkeypatch.setattr(TowerEncoder, "_encode", lambda self, block: asked.append(1) or encode(self, block))
    queries = queries_of([0], [[1]])
    first = encoder.encode(queries)
    assert encoder.encode(queries) is first
    encoder.encode(queries_of([0], [[1]]))
    assert len(asked) == 2


def test_item_vectors_are_the_towers_unless_they_are_given(bench):
    built = bench()
    np.testing.assert_array_equal(built.encoder().item_vectors, built.catalogue)
    given = np.eye(8, dtype=np.float32)[np.arange(50) % 8]
    kept = TowerEncoder(
        model=built.model, features=built.features, inputs=built.inputs, history_length=6, device=torch.device("cpu"),
        item_vectors=given,
    )  # fmt: skip
    np.testing.assert_array_equal(kept.item_vectors, given)


def test_first_occurrences_by_hand():
    rows = Ragged.from_lists([[2, 1, 2, 0, 1], [], [1, 1], [2]]).first_occurrences()
    assert [row.tolist() for row in rows] == [[2, 1, 0], [], [1], [2]]


def test_known_items_by_hand():
    rows = Ragged.from_lists([[NO_ITEM, 1], [NO_ITEM], [], [2, NO_ITEM, 2]]).known()
    assert [row.tolist() for row in rows] == [[1], [], [], [2, 2]]
