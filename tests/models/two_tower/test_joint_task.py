"""JointTask: the loss is the weighted sum of its terms, and each term is what NumPy makes of the same vectors."""

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from twotower.config.compose import group_files, instantiate
from twotower.errors import BadConfig
from twotower.models.two_tower import joint_task as joint
from twotower.models.two_tower import networks as joint_model
from twotower.models.two_tower.inputs import TowerInputs
from twotower.models.two_tower.objective import Objective
from twotower.models.two_tower.user_net import UserInputs
from twotower.training.negatives import expected_counts

REFERENCE = {"preference": "bce", "negatives": ("same_category",), "n_negatives": 1, "similarity_weight": 0.5}
"""What the three objectives of the reference system share."""


def softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, x)


def positions_of(built, seen) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """User vectors [P, D], users [P] and items [P] of the first batch's training examples."""
    batch = next(built.batches.epoch(0))
    users = np.broadcast_to(batch.users[:, None], batch.mask.shape)
    return seen["user_net"][1].detach().numpy()[batch.mask], users[batch.mask], batch.targets[batch.mask]


def scored_items(built, seen) -> np.ndarray:
    """Item ids of RankNet's candidates, told by their vectors. Shape [P, 1 + n]."""
    return (seen["rank_net"][0][1].detach().numpy() @ built.catalogue.T).argmax(-1)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return (
        logits
        - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True))
        - logits.max(1, keepdims=True)
    )


@pytest.mark.parametrize("file", group_files("objective"), ids=lambda file: file.stem)
def test_the_loss_is_the_weighted_sum_of_its_terms(bench, file):
    o = instantiate(OmegaConf.load(file))
    loss, parts, _ = bench(o).first_step()
    weights = {"preference": o.preference_weight, "retrieval": o.retrieval_weight, "similarity": o.similarity_weight}
    wanted = {n for n, w in weights.items() if w and (n != "similarity" or o.similarity)}
    assert set(parts) == wanted
    assert loss.item() == pytest.approx(sum(weights[name] * value for name, value in parts.items()), rel=1e-5)


def bce(logits: np.ndarray) -> float:
    """Column 0 against 1, the others against 0, all pairs alike."""
    return float((softplus(-logits[:, 0]).sum() + softplus(logits[:, 1:]).sum()) / logits.size)


@pytest.mark.parametrize("similarity", [None, "raw", "affine"], ids=["single", "multi_cos", "multi_cos_affine"])
def test_the_objectives_of_the_reference_recomputed(bench, similarity):
    asked = []
    built = bench(Objective(**REFERENCE, similarity=similarity))
    raw_cosine = built.task._raw_cosine
    built.task._raw_cosine = lambda rows, items: asked.append((rows, items)) or raw_cosine(rows, items)
    loss, _, seen = built.first_step()
    logits = seen["rank_net"][1].detach().numpy()
    users, items = (seen["rank_net"][0][i].detach().numpy() for i in (0, 1))
    cosine = np.einsum("pd,pcd->pc", users, items)
    expected = bce(logits)
    if similarity == "raw":
        raw = raw_cosine(*asked[0]).reshape(cosine.shape)
        np.testing.assert_array_equal(asked[0][1].reshape(cosine.shape), scored_items(built, seen))
        assert np.abs(raw).max() > 0.1  # profiles are there to be compared with
        expected += 0.5 * np.sqrt(((cosine - raw) ** 2).mean())
    if similarity == "affine":
        closeness = (cosine + 1) / 2
        expected += 0.5 * ((1 - closeness[:, 0]).sum() + closeness[:, 1:].sum()) / cosine.size
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_the_raw_cosine_is_that_of_the_profile_at_the_time_of_the_event(bench):
    built = bench(Objective(**REFERENCE, similarity="raw"))
    asked = []
    built.task._raw_cosine = lambda rows, items: asked.append(rows) or np.zeros(len(rows), np.float32)
    built.first_step()
    batch = next(built.batches.epoch(0))
    users = np.broadcast_to(batch.users[:, None], batch.mask.shape)[batch.mask]
    expected = built.profiles.rows(users, batch.times[batch.mask])
    np.testing.assert_array_equal(asked[0], np.repeat(expected, 2))
    assert expected.any()


def test_retrieval_over_the_whole_catalogue_recomputed(bench):
    built = bench(Objective(retrieval_weight=1.0, retrieval_candidates="all", temperature=0.2))
    _, parts, seen = built.first_step()
    vectors, _, items = positions_of(built, seen)
    shares = log_softmax(vectors @ built.catalogue.T / 0.2)
    assert parts["retrieval"] == pytest.approx(-shares[np.arange(len(items)), items].mean(), rel=1e-5)


def test_sampled_retrieval_recomputed(bench):
    built = bench(Objective(retrieval_weight=1.0, retrieval_candidates=8, temperature=0.2))
    _, parts, seen = built.first_step()
    vectors, _, items = positions_of(built, seen)
    batch = next(built.batches.epoch(0))
    events = built.split.train.unique_pairs()
    drawn = np.random.default_rng((0, 0, 0)).integers(0, 50, 8)  # seed, epoch, batch
    candidates = np.unique([*items, *drawn])
    logits = vectors @ built.catalogue[candidates].T / 0.2
    logits -= np.log(expected_counts(events.item_counts(), len(items), 8)[candidates])
    window = np.nonzero(batch.mask)[0]
    for p, row in enumerate(logits):
        others = set(items[window == window[p]]) - {items[p]}  # what else the user touched in this window
        row[np.isin(candidates, list(others))] = -np.inf
    shares = log_softmax(logits)[np.arange(len(items)), np.searchsorted(candidates, items)]
    assert parts["retrieval"] == pytest.approx(-shares.mean(), rel=1e-4)


@pytest.mark.parametrize("preference", ["softmax", "pairwise"])
def test_other_preference_losses_recomputed(bench, preference):
    built = bench(Objective(preference=preference, n_negatives=3))
    _, parts, seen = built.first_step()
    logits = seen["rank_net"][1].detach().numpy()
    assert logits.shape[1] == 4
    pairwise = softplus(logits[:, 1:] - logits[:, :1]).mean()
    expected = pairwise if preference == "pairwise" else -log_softmax(logits)[:, 0].mean()
    assert parts["preference"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("n_hard", [5, 500])
def test_hard_and_uniform_negatives_are_corrected_for_how_often_they_are_drawn(bench, n_hard):
    """Three negatives are of the user's n_hard best wrong items, three any of 50: rates 3 / n_hard and 3 / 50."""
    objective = Objective(
        preference="softmax", retrieval_weight=1.0, negatives=("hard", "uniform"), n_negatives=6, n_hard=n_hard
    )
    built = bench(objective)
    _, parts, seen = built.first_step()
    vectors, users, _ = positions_of(built, seen)
    items, known = scored_items(built, seen), built.split.train.by_user()
    cosine = vectors @ built.catalogue.T
    wrong = cosine.copy()
    for p, user in enumerate(users):
        wrong[p, known[user]] = -np.inf
    size = min(max(objective.n_hard, 3), 50)
    border = -np.sort(-wrong, axis=1)[:, size - 1]
    hard = np.take_along_axis(cosine, items, 1) >= border[:, None] - 1e-5
    rates = hard * 3 / min(objective.n_hard, 50) + 3 / 50
    logits = seen["rank_net"][1].detach().numpy() - np.log(rates)
    assert hard[:, 1:4].all()
    assert parts["preference"] == pytest.approx(-log_softmax(logits)[:, 0].mean(), rel=1e-4)


def test_a_share_of_ranknets_gradient_reaches_the_towers(bench):
    def gradients(share: float) -> tuple[torch.Tensor, torch.Tensor]:
        built = bench(Objective(preference="softmax", tower_share=share, n_negatives=4))
        built.first_step()[0].backward()
        return built.model.item_net.identities.weight.grad, built.model.rank_net.deep.weight.grad

    (whole, deep), (fifth, deep_too), (none, _) = (gradients(share) for share in (1.0, 0.2, 0.0))
    torch.testing.assert_close(fifth, 0.2 * whole)
    torch.testing.assert_close(deep_too, deep)
    assert whole.abs().sum() > 0
    assert none.abs().sum() == 0


def test_ranknet_is_given_the_wide_sums_of_both_sides(bench):
    built = bench(Objective(n_negatives=2))
    for table in built.model.rank_net.wide.parameters():
        table.data.normal_()
    _, _, seen = built.first_step()
    batch = next(built.batches.epoch(0))
    users = np.broadcast_to(batch.users[:, None], batch.mask.shape)[batch.mask]
    rows = built.profiles.rows(users, batch.times[batch.mask])
    inputs = built.inputs.to(torch.device("cpu"))
    ours = built.model.wide_users(inputs.users.take(torch.tensor(users)), inputs.profiles.take(torch.tensor(rows)))
    theirs = built.model.rank_net.wide.items(inputs.items)[torch.tensor(scored_items(built, seen))]
    torch.testing.assert_close(seen["rank_net"][0][2], ours[:, None] + theirs)


def test_column_zero_is_the_positive_and_kinds_share_the_negatives(bench):
    class Always:
        def __init__(self, item):
            self.item = item

        def draw(self, users, positives, times, n, rng):
            return np.full((len(users), n), self.item)

    objective = Objective(negatives=("uniform", "popularity"), n_negatives=5)
    built = bench(objective, samplers={"uniform": Always(3), "popularity": Always(9)})
    _, _, seen = built.first_step()
    scored = scored_items(built, seen)
    np.testing.assert_array_equal(scored[:, 0], positions_of(built, seen)[2])
    np.testing.assert_array_equal(scored[:, 1:], np.tile([3, 3, 3, 9, 9], (len(scored), 1)))


@pytest.mark.parametrize("candidates", ["all", 16])
def test_hard_negatives_are_near_and_never_known(bench, candidates):
    objective = Objective(
        retrieval_weight=1.0, retrieval_candidates=candidates, negatives=("hard",), n_negatives=6, n_hard=10
    )
    built = bench(objective)
    _, _, seen = built.first_step()
    vectors, users, _ = positions_of(built, seen)
    scores = vectors @ built.catalogue.T
    known = built.split.train.by_user()
    for p, row in enumerate(scored_items(built, seen)):
        scores[p, known[users[p]]] = -np.inf
        best = set(np.argsort(-scores[p])[:10].tolist())
        assert len(set(row[1:])) == 6
        assert set(row[1:].tolist()) <= best


def test_in_a_small_catalogue_hard_negatives_are_still_not_positives(bench):
    built = bench(Objective(retrieval_weight=1.0, negatives=("hard",), n_negatives=4, n_hard=200))  # 50 items
    _, _, seen = built.first_step()
    _, users, _ = positions_of(built, seen)
    known = built.split.train.by_user()
    assert not any(
        set(row[1:]) & set(known[u].tolist()) for u, row in zip(users, scored_items(built, seen), strict=True)
    )


def test_the_vectors_for_hard_negatives_are_those_of_the_epochs_start_even_after_a_resume(bench):
    objective = Objective(retrieval_weight=1.0, retrieval_candidates=16, negatives=("hard",), n_negatives=2, n_hard=5)
    built = bench(objective)
    kept = built.task.start_epoch(0, {})
    np.testing.assert_array_equal(kept["index"].numpy(), built.catalogue)
    for parameter in built.model.parameters():
        parameter.data += 0.1  # some steps later
    again = built.task.start_epoch(0, kept)
    torch.testing.assert_close(again["index"], kept["index"], rtol=0, atol=0)
    assert not np.allclose(built.task.start_epoch(1, {})["index"].numpy(), kept["index"].numpy())


def test_where_each_step_embeds_the_catalogue_nothing_is_kept(bench):
    assert bench(Objective(retrieval_weight=1.0, negatives=("hard",))).task.start_epoch(0, {}) == {}


def test_ranknet_can_be_trained_on_some_positions_only(bench):
    every, some = (bench(Objective(rank_positions=n)).first_step()[2]["rank_net"][1] for n in (None, 10))
    assert len(every) > 40
    assert len(some) == 10


def test_examples_are_counted_and_a_step_is_repeatable(bench):
    built = bench(Objective(retrieval_weight=1.0, retrieval_candidates=16, n_negatives=2))
    counts = [n for n, _ in built.task.batches(0, 0)]
    assert sum(counts) == len(built.split.train.unique_pairs())
    assert len(counts) == built.task.n_batches(0)
    steps = [[step() for _, step in built.task.batches(0, start)] for start in (0, 0, 2)]
    values = [[loss.item() for loss, _ in run] for run in steps]
    assert values[0] == values[1]
    assert values[0][2:] == values[2]


def test_every_network_learns_from_the_joint_objective(bench):
    objective = Objective(preference="softmax", similarity="affine", retrieval_weight=1.0, n_negatives=4)
    built = bench(objective)
    loss, _, _ = built.first_step()
    loss.backward()
    silent = [n for n, p in built.model.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    # RankNet's deep part starts silent: its last layer moves first, what is below it from the second step on.
    assert all(name.startswith("rank_net.") and name != "rank_net.deep.weight" for name in silent), silent


def test_in_bfloat16_the_loss_is_nearly_the_same(bench, monkeypatch):
    objective = Objective(preference="softmax", similarity="affine", retrieval_weight=1.0, n_negatives=4)
    full, _, _ = bench(objective).first_step()
    monkeypatch.setattr(joint, "autocast", lambda device: torch.autocast("cpu", dtype=torch.bfloat16))
    half, _, _ = bench(objective).first_step()
    half.backward()
    assert half.item() == pytest.approx(full.item(), rel=0.02)


def test_a_tower_without_history_trains_on_single_events(bench):
    loss, _, seen = bench(Objective(**REFERENCE), towers={"history": None}).first_step()
    assert loss.isfinite()
    assert seen["user_net"][1].shape[1] == 1


@pytest.mark.parametrize("rank_positions", [None, 20])
def test_packed_features_give_the_loss_and_the_gradients_of_one_embedding_per_field(bench, rank_positions):
    objective = Objective(**REFERENCE, similarity="affine", retrieval_weight=0.3, rank_positions=rank_positions)
    found = []
    for inputs_of in (TowerInputs.packed, lambda inputs: inputs.to(torch.device("cpu"))):
        built = bench(objective, towers={"history": None, "identities": False})
        for table in built.model.rank_net.wide.parameters():
            table.data.normal_()
        built.task._inputs = inputs_of(built.inputs)
        loss, parts, seen = built.first_step()
        loss.backward()
        gradients = {n: p.grad for n, p in built.model.named_parameters() if p.grad is not None}
        found.append((parts, seen["rank_net"][1], gradients))
    (parts, logits, gradients), (plain_parts, plain_logits, plain_gradients) = found
    assert parts == pytest.approx(plain_parts, rel=1e-5)
    torch.testing.assert_close(logits, plain_logits, rtol=1e-4, atol=1e-5)
    assert gradients.keys() == plain_gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, plain_gradients[name], rtol=1e-4, atol=1e-6, msg=name)


def test_without_history_each_example_has_the_profile_of_its_own_moment(bench):
    built = bench(Objective(**REFERENCE, similarity="raw"), towers={"history": None})
    asked = []
    built.task._raw_cosine = lambda rows, items: asked.append(rows) or np.zeros(len(rows), np.float32)
    _, _, seen = built.first_step()
    batch = next(built.batches.epoch(0))
    rows = built.profiles.rows(batch.users, batch.times[:, 0])
    np.testing.assert_array_equal(asked[0], np.repeat(rows, 2))
    inputs = built.inputs.to(torch.device("cpu"))
    static, profiles = inputs.users.take(torch.tensor(batch.users)), inputs.profiles.take(torch.tensor(rows))
    alone = torch.zeros(len(rows), 0, built.towers.dim)
    expected = built.model.user_net(UserInputs(static, profiles, torch.arange(len(rows))[:, None], alone))
    torch.testing.assert_close(seen["user_net"][1], expected, rtol=1e-4, atol=1e-5)


def test_data_without_any_feature_trains(bench, two_tastes_bare):
    loss, parts, _ = bench(Objective(retrieval_weight=1.0, similarity="affine"), split=two_tastes_bare).first_step()
    assert loss.isfinite()
    assert set(parts) == {"retrieval", "preference", "similarity"}


def test_raw_similarity_without_profiles_is_refused(bench):
    with pytest.raises(BadConfig, match="this run has none"):
        bench(Objective(**REFERENCE, similarity="raw"), features={"profiles": False}).first_step()


def test_blocks_of_the_catalogue_give_the_same_vectors(bench, monkeypatch):
    built = bench()
    whole = built.catalogue
    monkeypatch.setattr(joint_model, "ITEM_BLOCK", 7)
    np.testing.assert_allclose(built.catalogue, whole, atol=1e-6)


def test_encoding_the_catalogue_leaves_the_mode_as_it_was(bench):
    built = bench(towers={"dropout": 0.5, "identity_dropout": 0.5, "hidden": (16,)})
    quiet = built.catalogue
    built.model.train()
    np.testing.assert_array_equal(built.catalogue, quiet)
    assert built.model.training
