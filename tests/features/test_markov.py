"""Markov weights: the printed matrix, power iteration as oracle, back-off from pairs to users to the domain."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower.data.interactions import Interactions
from twotower.errors import BadConfig, BadInput, NotFitted
from twotower.features import markov
from twotower.features.markov import MarkovWeights, stationary_distribution, transition_steps

PRINTED = np.array(
    [[0.60, 0.20, 0.15, 0.05], [0.50, 0.30, 0.10, 0.10], [0.60, 0.10, 0.10, 0.20], [0.75, 0.05, 0.05, 0.15]]
)


def events_of(*rows: tuple[int, int, str], kinds: str = "VSC") -> Interactions:
    """Events (user, item, kind), one second apart, of users 0-3 and items 0-3."""
    user, item, kind = zip(*rows, strict=True)
    codes = np.array([kinds.index(k) for k in kind])
    return Interactions.of(
        np.array(user), np.array(item), np.arange(len(rows)), kind=codes, kinds=tuple(kinds), n_users=4, n_items=4
    )


MARKET = events_of(
    (0, 0, "V"), (0, 0, "V"), (0, 0, "S"), (0, 1, "V"), (0, 1, "C"), (1, 0, "V"), (1, 0, "V"), (1, 0, "V"),
    (1, 2, "V"), (1, 0, "S"), (2, 3, "V"),
)  # fmt: skip


def test_the_printed_matrix_has_the_printed_stationary_distribution():
    assert stationary_distribution(PRINTED) == pytest.approx([0.594, 0.194, 0.125, 0.087], abs=5e-4)


def test_a_periodic_chain_has_its_average_over_time():
    assert stationary_distribution(np.array([[0.0, 1.0], [1.0, 0.0]])) == pytest.approx([0.5, 0.5])


def test_a_chain_that_is_trapped_ends_where_it_is_trapped():
    assert stationary_distribution(np.array([[0.5, 0.5], [0.0, 1.0]])) == pytest.approx([0, 1], abs=1e-6)
    # Two traps, entered from state 0 with 1/4 and 3/4; an even start adds 1/3 to each and splits the rest
    two = np.array([[0, 0.25, 0.75], [0, 1, 0], [0, 0, 1.0]])
    assert stationary_distribution(two) == pytest.approx([0, 1 / 3 + 1 / 12, 1 / 3 + 1 / 4], abs=1e-6)


def test_many_chains_are_solved_at_once():
    both = stationary_distribution(np.stack([PRINTED, PRINTED[::-1, ::-1]]))
    assert both[1] == pytest.approx(both[0][::-1])


@pytest.mark.parametrize("matrix", [[[0.5, 0.6], [0.5, 0.5]], [[1.5, -0.5], [0.5, 0.5]], [[np.nan, 1], [0.5, 0.5]]])
def test_what_is_no_transition_matrix_is_refused(matrix):
    with pytest.raises(BadInput, match="sum to 1"):
        stationary_distribution(np.array(matrix))


@given(st.integers(0, 10_000), st.integers(1, 6))
def test_the_stationary_distribution_is_where_power_iteration_ends(seed, k):
    matrix = np.random.default_rng(seed).dirichlet(np.ones(k), k)
    oracle = np.linalg.matrix_power(0.5 * matrix + 0.5 * np.eye(k), 10_000)[0]  # lazy: same fixed point, aperiodic
    assert stationary_distribution(matrix) == pytest.approx(oracle, abs=1e-6)


def test_steps_are_counted_within_pairs_in_order_of_time():
    pair, before, after = transition_steps(MARKET)
    # pair (0, 0): V V S; (0, 1): V C; (1, 0): V V V S, with an event of another pair in between
    assert pair.tolist() == [0, 0, 1, 4, 4, 4]
    assert ["VSC"[i] for i in before] == ["V", "V", "V", "V", "V", "V"]
    assert ["VSC"[i] for i in after] == ["V", "S", "C", "V", "V", "S"]


def test_the_domain_matrix_is_the_smoothed_share_of_steps():
    fitted = MarkovWeights(smoothing=2.0).fit(MARKET)
    # kinds: 8 V, 2 S, 1 C of 11, one more of each: shares 9/14, 3/14, 2/14; steps from V: 3 V, 2 S, 1 C
    shares = np.array([9, 3, 2]) / 14
    assert fitted.transition_matrix[0] == pytest.approx((np.array([3, 2, 1]) + 2 * shares) / (6 + 2))
    assert fitted.transition_matrix[1] == pytest.approx(shares)  # nothing follows S
    assert fitted.stationary @ fitted.transition_matrix == pytest.approx(fitted.stationary)


def test_a_weight_is_one_over_the_stationary_share_of_the_kind():
    fitted = MarkovWeights().fit(MARKET)
    assert fitted.weights(MARKET) == pytest.approx(1 / fitted.stationary[MARKET.kind])
    assert fitted.weights(MARKET).dtype == np.float32


def test_with_many_events_the_weights_are_those_of_the_true_chain():
    rng = np.random.default_rng(0)
    n, length = 4_000, 20
    kind = np.zeros((n, length), np.int64)
    kind[:, 0] = rng.choice(4, n, p=stationary_distribution(PRINTED))
    for step in range(1, length):  # each of n pairs takes one step
        kind[:, step] = (rng.random(n)[:, None] > PRINTED[kind[:, step - 1]].cumsum(1)).sum(1)
    user = np.repeat(np.arange(n), length)
    events = Interactions.of(
        user, np.zeros(n * length), np.tile(np.arange(length), n), kind=kind.ravel(), kinds=tuple("VBPC"),
        n_users=n, n_items=1,
    )  # fmt: skip
    fitted = MarkovWeights().fit(events)
    assert fitted.transition_matrix == pytest.approx(PRINTED, abs=0.015)
    assert fitted.stationary == pytest.approx(stationary_distribution(PRINTED), abs=0.01)


def test_a_user_who_saves_more_gets_a_lower_weight_for_saves():
    events = events_of(*[(0, 0, "V"), (0, 0, "S")] * 5, *[(1, 0, "V")] * 10)
    fitted = MarkovWeights("user").fit(events)
    save_of = [fitted.weights(events_of((user, 1, "S")))[0] for user in (0, 1)]
    domain = MarkovWeights("domain").fit(events).weights(events_of((0, 1, "S")))[0]
    assert save_of[0] < domain < save_of[1]


def test_users_and_pairs_without_steps_fall_back_to_the_coarser_level():
    domain, user, pair = (MarkovWeights(level).fit(MARKET) for level in ("domain", "user", "user_item"))
    stranger = events_of((3, 1, "S"), (2, 3, "V"))  # user 3 has no events, user 2 one event and so no step
    assert np.array_equal(user.weights(stranger), domain.weights(stranger))
    assert np.array_equal(pair.weights(stranger), domain.weights(stranger))
    other_item = events_of((0, 3, "S"), (1, 1, "V"))  # known users, new pairs
    assert np.array_equal(pair.weights(other_item), user.weights(other_item))
    assert not np.array_equal(pair.weights(MARKET), user.weights(MARKET))


def test_smoothing_moves_a_user_towards_the_domain():
    def gap(smoothing: float) -> float:
        fitted = MarkovWeights("user", smoothing=smoothing).fit(MARKET)
        return abs(fitted.weights(events_of((0, 3, "C")))[0] - 1 / fitted.stationary[2])

    assert gap(1e6) < 1e-3 < gap(1) < gap(0.1)


def test_pairs_are_solved_alike_in_blocks(monkeypatch):
    whole = MarkovWeights("user_item").fit(MARKET).weights(MARKET)
    monkeypatch.setattr(markov, "BLOCK_CHAINS", 2)
    assert np.array_equal(MarkovWeights("user_item").fit(MARKET).weights(MARKET), whole)


def test_a_kind_never_seen_has_the_highest_weight_but_a_limited_one():
    events = events_of((0, 0, "V"), (0, 0, "V"), (0, 0, "S"))
    fitted = MarkovWeights(min_share=0.2).fit(events)
    view, save, contact = fitted.weights(events_of((0, 0, "V"), (0, 0, "S"), (0, 0, "C")))
    assert view < save <= contact == pytest.approx(1 / 0.2)


def test_without_any_step_the_weights_follow_the_frequency_of_the_kinds():
    events = events_of((0, 0, "V"), (1, 1, "V"), (2, 2, "V"), (3, 3, "S"))
    fitted = MarkovWeights("user_item").fit(events)
    # shares (3 + 1) / 7, (1 + 1) / 7, (0 + 1) / 7
    assert fitted.weights(events_of((0, 1, "V"), (0, 1, "S"), (0, 1, "C"))) == pytest.approx([7 / 4, 7 / 2, 7])


def test_misuse_is_refused_by_name():
    with pytest.raises(NotFitted):
        MarkovWeights().weights(MARKET)
    with pytest.raises(BadInput, match="these events have"):
        MarkovWeights().fit(MARKET).weights(events_of((0, 0, "V"), kinds="V"))
    with pytest.raises(BadConfig, match="level 'shop'"):
        MarkovWeights("shop")
    with pytest.raises(BadConfig, match="smoothing 0"):
        MarkovWeights(smoothing=0)
