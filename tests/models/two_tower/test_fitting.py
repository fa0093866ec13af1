"""One fit: optimisers, what validation asks, and killed fits that end as if they had not been killed."""

import itertools
import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from twotower.errors import BadConfig
from twotower.metrics.ranking import average_precision
from twotower.models.two_tower.encoder import TowerEncoder
from twotower.models.two_tower.estimator import TwoTower
from twotower.models.two_tower.fitting import Fitting, two_stages
from twotower.models.two_tower.joint_task import JointTask
from twotower.models.two_tower.objective import Objective
from twotower.models.two_tower.options import FeatureOptions, TowerOptions, TrainOptions
from twotower.models.two_tower.prepared_inputs import PreparedInputs
from twotower.stages.recommender import TwoStageRecommender
from twotower.training.adagrad import RowAdagrad
from twotower.training.context import QUIET, FitContext
from twotower.training.early_stopping import Watch
from twotower.training.ftrl import FTRL
from twotower.training.loop import Trainer, _Run

TOWERS = TowerOptions(dim=8, history_layers=1, history_length=6)
TRAINING = TrainOptions(epochs=3, batch_size=128, patience=None, checkpoint_seconds=0.0)
OBJECTIVE = Objective(
    preference="softmax", similarity="affine", retrieval_weight=1.0, retrieval_candidates=16,
    negatives=("hard", "uniform"), n_negatives=4, n_hard=10,
)  # fmt: skip
"""The catalogue is embedded once an epoch for hard negatives: the hardest case to resume."""


def fitting(**parts) -> Fitting:
    usual = {"towers": TOWERS, "features": FeatureOptions(), "objective": OBJECTIVE, "training": TRAINING}
    return Fitting(**usual | parts)


class Killed(Exception):
    """Stands for a kill."""


@pytest.fixture
def killed_at(monkeypatch):
    """Makes training raise after n more steps; None lets it live."""
    loss = JointTask._loss

    def arm(n: int | None) -> None:
        steps = itertools.count() if n is None else iter(range(n))

        def mortal(self, batch, rng):
            if next(steps, None) is None:
                raise Killed
            return loss(self, batch, rng)

        monkeypatch.setattr(JointTask, "_loss", mortal)

    return arm


@pytest.fixture
def task(two_tastes, monkeypatch):
    """Gives the task that a fit hands to the training loop, or with `watched` what it watches."""

    def of(*, watched=False, **parts) -> JointTask | Watch:
        caught = []
        monkeypatch.setattr(
            Trainer, "fit", lambda self, task, context, watch: caught.append(watch if watched else task)
        )
        fitting(**parts).run(two_tastes, two_tastes.validation, QUIET)
        return caught[0]

    return of


def state_of(model: TwoTower) -> dict[str, torch.Tensor]:
    return model.encoder.model.state_dict()


def assert_same(ours: TwoTower, theirs: TwoTower) -> None:
    for name, tensor in state_of(ours).items():
        torch.testing.assert_close(tensor, state_of(theirs)[name], rtol=0, atol=0, msg=name)


@pytest.mark.parametrize("refit", [False, True])
def test_killed_inside_any_epoch_and_resumed_a_fit_ends_as_if_it_had_not_been(two_tastes, tmp_path, killed_at, refit):
    def model() -> TwoTower:
        training = replace(TRAINING, refit=refit)
        return TwoTower(towers=TOWERS, objective=OBJECTIVE, training=training)

    unkilled = model().fit(two_tastes)
    for steps in (2, 4, 1, 7) if refit else (2, 4, 1):  # of 3 epochs with 5 steps each, and those of the last fit
        killed_at(steps)
        with pytest.raises(Killed):
            model().fit(two_tastes, FitContext(workspace=tmp_path))
    killed_at(None)
    resumed = model().fit(two_tastes, FitContext(workspace=tmp_path))
    assert_same(resumed, unkilled)
    for ours, theirs in zip(resumed.progress, unkilled.progress, strict=True):
        assert (ours.best, ours.best_epoch, ours.examples) == (theirs.best, theirs.best_epoch, theirs.examples)


@pytest.mark.parametrize(("kind", "optimizer"), [("ftrl", FTRL), ("adam", torch.optim.Adam)])
def test_the_wide_part_has_an_optimiser_of_its_own(task, kind, optimizer):
    made = task(training=replace(TRAINING, wide_optimizer=kind, wide_lr=0.3, lr=0.02))
    deep, wide = made.optimizers
    assert type(deep) is torch.optim.Adam
    assert type(wide) is optimizer
    assert (deep.param_groups[0]["lr"], wide.param_groups[0]["lr"]) == (0.02, 0.3)
    names = {id(p): name for name, p in made.module.named_parameters()}
    given = [[names[id(p)] for p in o.param_groups[0]["params"]] for o in (deep, wide)]
    assert sorted(given[0] + given[1]) == sorted(names.values())  # each parameter once
    assert all(name.startswith("rank_net.wide.") for name in given[1])
    assert not any(name.startswith("rank_net.wide.") for name in given[0])


def test_without_features_there_is_no_wide_part(two_tastes_bare, monkeypatch):
    caught = []
    monkeypatch.setattr(Trainer, "fit", lambda self, task, context, watch: caught.append(task))
    fitting().run(two_tastes_bare, None, QUIET)
    assert [type(o) for o in caught[0].optimizers] == [torch.optim.Adam]


def test_the_watched_figure_is_map_at_10_of_both_stages_on_validation(two_tastes, task):
    all_users = replace(TRAINING, validation_users=None, validation_candidates=20)
    figure, made = (
        task(watched=True, training=all_users).examine(),
        task(training=all_users),
    )  # of the same fresh weights
    features = PreparedInputs.of(two_tastes, FeatureOptions(), 1).features
    holdout = two_tastes.validation
    encoder = TowerEncoder(
        model=made.module.eval(), features=features, history_length=6, device=torch.device("cpu"),
        inputs=features.serving_inputs(two_tastes.dataset, holdout.history, holdout.at),
    )  # fmt: skip
    top = two_stages(encoder, n_candidates=20).recommend(holdout.queries(), 10)
    assert figure == pytest.approx(average_precision(top, holdout.relevant(), 10).mean())
    assert figure > 0


def test_validation_asks_as_many_users_as_it_may(task, monkeypatch):
    asked = []
    recommend = TwoStageRecommender.recommend

    def listening(self, queries, k):
        asked.append(queries.users.tolist())
        return recommend(self, queries, k)

    watch = task(watched=True, training=replace(TRAINING, validation_users=7))
    monkeypatch.setattr(TwoStageRecommender, "recommend", listening)
    watch.examine()
    watch.examine()
    assert len(asked[0]) == 7
    assert asked[0] == sorted(set(asked[0])) == asked[1]


def test_where_nothing_trains_the_towers_ranknet_is_asked_about_everything(task, monkeypatch):
    asked = []
    gold = TwoStageRecommender.gold_standard
    monkeypatch.setattr(
        TwoStageRecommender, "gold_standard", lambda self, queries, k: asked.append(k) or gold(self, queries, k)
    )
    task(watched=True, objective=Objective()).examine()
    assert asked == [10]
    task(watched=True, objective=Objective(similarity="affine")).examine()
    assert asked == [10]


def test_without_a_holdout_there_is_nothing_to_watch(two_tastes):
    done = fitting(training=replace(TRAINING, epochs=2)).run(two_tastes, None, QUIET)
    assert done.progress.best_epoch == 1
    assert all("validation" not in row for row in done.progress.history)


@pytest.mark.parametrize(("history", "longest"), [("mean", 6), (None, 1)])
def test_windows_are_as_long_as_what_usernet_reads(task, history, longest):
    made = task(towers=replace(TOWERS, history=history))
    assert max(batch.targets.shape[1] for batch in made._batches.epoch(0)) == longest


@pytest.mark.parametrize("history", ["mean", None])
@pytest.mark.parametrize("from_rows", [None, 1])
def test_many_identities_are_moved_row_by_row_and_few_by_adam(task, from_rows, history):
    made = task(training=replace(TRAINING, row_wise_from=from_rows), towers=replace(TOWERS, history=history))
    table = made.module.item_net.identities.weight
    made.start_epoch(0, {})
    _, step = next(made.batches(0, 0))
    step()[0].backward()
    assert table.grad.is_sparse == (from_rows == 1)
    movers = [type(o) for o in made.optimizers for g in o.param_groups for p in g["params"] if p is table]
    assert movers == [RowAdagrad if from_rows == 1 else torch.optim.Adam]
    everything = sorted(id(p) for o in made.optimizers for g in o.param_groups for p in g["params"])
    assert everything == sorted(id(p) for p in made.module.parameters())  # each is moved by one


def test_row_wise_a_step_leaves_the_identities_that_it_does_not_read(task):
    """A batch of one window reads a few of the items; the others stay, where Adam's averages would move them."""
    sampled = replace(OBJECTIVE, retrieval_candidates=2, negatives=("uniform",), n_negatives=1, rank_positions=1)
    made = task(training=replace(TRAINING, batch_size=1, row_wise_from=1), objective=sampled)
    table = made.module.item_net.identities.weight
    before = table.detach().clone()
    run = _Run(Trainer(epochs=1), made, QUIET, None)
    _, step = next(made.batches(0, 0))
    run._step(step)
    moved = (table.detach() != before).any(dim=1)
    assert 0 < moved.sum() < len(table) - 1
    assert not moved[0]  # "no identity" has no vector


def test_the_size_of_batches_follows_the_data_unless_it_is_given():
    auto = TrainOptions(batch_size="auto")
    assert [auto.events_per_batch(n) for n in (100, 20_000, 10**6)] == [64, 200, 2048]
    assert TrainOptions(batch_size=7).events_per_batch(10**6) == 7


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"lr": 0.0}, {"batch_size": 0}, {"schedule": "cosine"}, {"wide_optimizer": "sgd"},
     {"shard_tables_from": 0}, {"row_wise_from": 0}, {"row_wise_lr": 0.0}],
)  # fmt: skip
def test_training_options_that_make_no_sense_are_refused(wrong):
    with pytest.raises(BadConfig, match="train"):
        TrainOptions(**wrong)


def test_the_seed_of_the_weights_is_set_whatever_was_drawn_before(two_tastes):
    def vectors(before: int) -> np.ndarray:
        torch.manual_seed(before)
        done = fitting(training=replace(TRAINING, epochs=1)).run(two_tastes, None, QUIET)
        return done.model.item_net.identities.weight.detach().numpy()

    np.testing.assert_array_equal(vectors(1), vectors(2))


@pytest.mark.parametrize("options", [Objective, TowerOptions, TrainOptions], ids=lambda kind: kind.__name__)
def test_every_option_stands_in_the_page_about_training(options):
    page = (Path(__file__).parents[3] / "docs" / "training.md").read_text()
    assert {field.name for field in fields(options)} <= set(re.findall(r"`(\w+)`", page))
