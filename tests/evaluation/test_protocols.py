"""Protocols: every YAML cuts data and hides its test during tuning; sampled figures are marked and kept apart."""

import numpy as np
import pytest
from omegaconf import OmegaConf

from twotower.commands.evaluate import _common_split
from twotower.config.build import make_split
from twotower.config.compose import compose, group_files, instantiate, plain
from twotower.data.dataset import Dataset
from twotower.data.ids import IdMap
from twotower.data.interactions import Interactions
from twotower.data.split import Holdout, Split
from twotower.data.splitters import ColdUsers, LeaveLast, SampledNegatives
from twotower.data.tables import FeatureTable
from twotower.errors import BadConfig, BadInput, BundleError, LeakError
from twotower.evaluation.comparison import compare
from twotower.evaluation.contest import contest
from twotower.evaluation.examine import examine
from twotower.evaluation.resampling import Draws
from twotower.reports.markdown import markdown
from twotower.reports.tables import text_table
from twotower.training.context import QUIET
from twotower.tuning.blind_split import BlindSplit, blind_final
from twotower.tuning.tune import tune
from twotower.types import Ragged

N_USERS, N_ITEMS = 120, 300
WEEK, MONDAY_W14 = 7 * 86_400, 1_491_177_600  # 2017-04-03T00:00Z, `date -ud 2017-04-03 +%s`
PROTOCOLS = {file.stem: file for file in group_files("protocol")}


@pytest.fixture(scope="module")
def five_weeks() -> Dataset:
    """120 users with 12 to 40 events on 300 items in weeks 14 to 18 of 2017; one event in ten is marked "test"."""
    rng = np.random.default_rng(11)
    user = np.repeat(np.arange(N_USERS), rng.integers(12, 40, N_USERS))
    item = (N_ITEMS * rng.random(len(user)) ** 2).astype(np.int64)
    time = MONDAY_W14 + rng.integers(0, 5 * WEEK, len(user))
    kind = (user * N_ITEMS + item) % 10 == 0  # by pair, so that no pair is in both parts
    log = Interactions.of(
        user, item, time, kind=kind.astype(np.int8), kinds=("train", "test"), n_users=N_USERS, n_items=N_ITEMS
    )
    users, items = IdMap.of(range(N_USERS), "user"), IdMap.of(range(N_ITEMS), "item")
    return Dataset("weeks", log, FeatureTable.empty(N_USERS), FeatureTable.empty(N_ITEMS), users, items)


@pytest.fixture(params=PROTOCOLS)
def cut(request, five_weeks) -> Split:
    return instantiate(OmegaConf.load(PROTOCOLS[request.param])).split(five_weeks)


def pairs(events: Interactions) -> set[int]:
    return set(events.pair_keys().tolist())


def test_there_is_a_yaml_for_every_protocol_that_the_field_uses():
    assert PROTOCOLS.keys() >= {
        "reference", "time_quantile", "leave_last", "per_user_ratio", "strong_generalization", "cold_items",
        "cold_users", "ncf_sampled", "random_ratio", "published",
    }  # fmt: skip


def test_a_protocol_has_three_parts_that_share_no_pair(cut):
    parts = [pairs(events) for events in (cut.train, cut.validation.target, cut.test.target)]
    assert all(parts)
    assert len(set.union(*parts)) == sum(len(part) for part in parts)


def test_while_a_protocol_is_tuned_its_test_is_out_of_reach_and_in_no_event(cut, by_score):
    reached = []

    class Curious(by_score):
        def fit(self, split, context=QUIET):
            reached.append(pairs(split.dataset.interactions) | pairs(split.train) | pairs(split.validation.target))
            with pytest.raises(LeakError, match="the test is closed"):
                _ = split.test
            with pytest.raises(LeakError, match="refit belongs to the full split"):
                split.refit()
            return super().fit(split, context)

    tune(Curious, {"weight": [0.0, 1.0]}, cut)
    assert len(reached) == 2
    assert not set.union(*reached) & pairs(cut.test.target)
    final = blind_final(cut)
    assert not (pairs(final.dataset.interactions) | pairs(final.test.history)) & pairs(cut.test.target)
    assert not len(final.test.target)


def test_the_test_only_moves_what_the_test_says(cut, by_score):
    """With other test events the same trials give the same scores: nothing of the test leaks into validation."""
    other = Split(
        cut.dataset, cut.train, cut.validation,
        Holdout(cut.test.history, cut.test.target.where(np.arange(len(cut.test.target)) % 2 == 0), cut.test.at),
        cut.name, cut.ordered_by_time,
    )  # fmt: skip
    scores = [[t.score for t in tune(by_score, {"weight": [-1.0, 1.0]}, split).trials] for split in (cut, other)]
    assert scores[0] == scores[1]


def test_one_word_chooses_a_protocol_for_any_data_set_and_is_kept_in_the_settings(five_weeks):
    own = plain(compose(["data=ml-1m"]))
    assert "protocol" not in own
    assert make_split(own, five_weeks).name == "leave_last(n=1)"
    chosen = plain(compose(["data=ml-1m", "protocol=time_quantile", "protocol.test=0.2"]))
    assert chosen["protocol"]["_target_"].endswith("TimeQuantile")
    assert make_split(chosen, five_weeks).name == "time_quantile(validation=0.1, test=0.2)"


def test_runs_of_different_protocols_are_not_evaluated_together():
    class Run:
        def __init__(self, name: str, *words: str) -> None:
            self.name, self.settings = name, plain(compose(["data=ml-1m", *words]))

        def config(self) -> dict[str, object]:
            return self.settings

    with pytest.raises(BundleError, match="'own' and 'sampled' are of different data or splits; evaluate them apart"):
        _common_split([Run("own"), Run("sampled", "protocol=ncf_sampled")])


def test_the_reference_protocol_tests_week_18_and_trains_on_the_four_before(five_weeks):
    split = instantiate(OmegaConf.load(PROTOCOLS["reference"])).split(five_weeks)
    week = (split.test.target.time - MONDAY_W14) // WEEK + 14
    assert set(week.tolist()) == {18}
    assert split.train.time.max() < MONDAY_W14 + 4 * WEEK - 3 * 86_400 <= split.validation.target.time.min()
    assert split.validation.target.time.max() < MONDAY_W14 + 4 * WEEK


def test_cold_users_have_no_event_anywhere_but_the_items_that_they_show(five_weeks):
    nothing, three = (ColdUsers(share=0.2, shown=n).split(five_weeks) for n in (0, 3))
    for split, shown in ((nothing, 0), (three, 3)):
        for part in (split.validation, split.test):
            assert len(part.users()) == 24  # a fifth of 120
            assert not set(part.users().tolist()) & set(split.train.user.tolist())
            histories = part.queries().histories
            assert {len(set(row.tolist())) for row in histories} == {shown}
    for share, shown in ((0.0, 0), (0.5, 0), (0.1, -1)):
        with pytest.raises(BadConfig, match="cold_users"):
            ColdUsers(share=share, shown=shown)
    with pytest.raises(BadInput, match="0 users have more than 400 items"):
        ColdUsers(shown=400).split(five_weeks)


@pytest.fixture(scope="module")
def sampled(five_weeks) -> Split:
    return SampledNegatives(split=LeaveLast(n=1), n=99).split(five_weeks)


def test_each_user_has_99_negatives_that_the_user_never_touched_before(sampled, five_weeks):
    for part in (sampled.validation, sampled.test):
        assert part.competitors == "sampled, 99 negatives"
        for user, target in zip(part.users(), part.relevant(), strict=True):
            row = part.candidates[user]
            assert len(set(row.tolist())) == 100
            assert set(target.tolist()) <= set(row.tolist())
            assert not set(row.tolist()) & set(part.history.by_user()[user].tolist())


def test_negatives_are_drawn_evenly_again_the_same_and_by_seed(five_weeks):
    first, again, other = (
        SampledNegatives(split=LeaveLast(), n=99, seed=s).split(five_weeks).test.candidates for s in (0, 0, 1)
    )
    assert first.values.tolist() == again.values.tolist() != other.values.tolist()
    open_to = np.ones((N_USERS, N_ITEMS), bool)
    open_to[five_weeks.interactions.user, five_weeks.interactions.item] = False
    chance = open_to * 99 / open_to.sum(axis=1, keepdims=True)  # each of a user's open items alike
    drawn = np.bincount(first.values, minlength=N_ITEMS) - 1.0 * np.bincount(
        SampledNegatives(split=LeaveLast()).split(five_weeks).test.target.item, minlength=N_ITEMS
    )
    spread = np.sqrt((chance * (1 - chance)).sum(axis=0))
    assert np.abs((drawn - chance.sum(axis=0)) / spread).max() < 4.5  # of 300 items: 4.5 sd by chance 1 in 500


def test_validation_negatives_do_not_depend_on_the_test(five_weeks):
    split = SampledNegatives(split=LeaveLast(), n=99).split(five_weeks)
    events = five_weeks.interactions
    hidden = five_weeks.with_interactions(events.where(~split.test.target.has_pairs_of(events)))
    without = SampledNegatives(split=KnownCut(split), n=99).split(hidden)
    assert without.validation.candidates.values.tolist() == split.validation.candidates.values.tolist()


class KnownCut:
    """Gives a cut that was made before."""

    def __init__(self, cut: Split) -> None:
        self.cut, self.name = cut, cut.name

    def split(self, dataset: Dataset) -> Split:
        plain_parts = [Holdout(part.history, part.target, part.at) for part in (self.cut.validation, self.cut.test)]
        return Split(dataset, self.cut.train, *plain_parts, self.name)


def test_only_candidates_are_ranked_by_the_models_own_scores(sampled, by_score):
    """The rank of a target is one plus the candidates with a better score (ties by id), by hand for every user."""
    model = by_score(noise=3.0).fit(sampled)
    found = examine(model, sampled.test, ks=(1, 10))
    queries = sampled.test.queries()
    scores = model.score(queries)
    for row, (user, target) in enumerate(zip(queries.users, sampled.test.relevant(), strict=True)):
        own = scores[row, target[0]]
        rivals = np.setdiff1d(sampled.test.candidates[user], target)
        better = (scores[row, rivals] > own) | ((scores[row, rivals] == own) & (rivals < target[0]))
        rank = 1 + better.sum()
        assert found.values("hit_rate@10")[row] == (rank <= 10)
        assert found.values("mrr@10")[row] == pytest.approx(1 / rank if rank <= 10 else 0)


def test_a_sampled_figure_is_larger_than_that_of_the_full_catalogue_and_the_same_for_every_block(sampled, by_score):
    model = by_score(noise=3.0).fit(sampled)
    whole = Holdout(sampled.test.history, sampled.test.target, sampled.test.at)
    few, all_items = examine(model, sampled.test, ks=(10,)), examine(model, whole, ks=(10,))
    assert few.mean("hit_rate@10") > all_items.mean("hit_rate@10")
    small = examine(model, sampled.test, ks=(10,), block=7)
    np.testing.assert_array_equal(few.values("ndcg@10"), small.values("ndcg@10"))


def test_a_report_says_that_negatives_were_sampled(sampled, by_score):
    report = contest(sampled, {"popular": by_score().fit(sampled)}, resamples=10)
    assert report.split["competitors"] == "sampled, 99 negatives"
    assert "sampled, 99 negatives per user" in markdown(report)
    assert "full catalogue" not in markdown(report)
    assert "popular" in text_table(report)


def test_sampled_and_full_figures_do_not_stand_in_one_table(sampled, by_score):
    model = by_score().fit(sampled)
    whole = Holdout(sampled.test.history, sampled.test.target, sampled.test.at)
    found = {"few": examine(model, sampled.test, ks=(10,)), "all": examine(model, whole, ks=(10,))}
    with pytest.raises(BadConfig, match="few: sampled, 99 negatives; all: full catalogue"):
        compare(found, baseline=None, draws=Draws(resamples=10))


def test_validation_of_a_blind_sampled_split_is_sampled_too(sampled):
    assert BlindSplit.of(sampled).validation.competitors == "sampled, 99 negatives"


def test_samples_that_cannot_be_are_refused(five_weeks, sampled):
    with pytest.raises(BadConfig, match="n=0 must be at least 1"):
        SampledNegatives(split=LeaveLast(), n=0)
    with pytest.raises(BadInput, match=r"has only \d+ untouched items, 295 are wanted; lower n"):
        SampledNegatives(split=LeaveLast(), n=295).split(five_weeks)
    lists = [row.tolist() for row in sampled.test.candidates]
    user = int(sampled.test.users()[0])
    target, known = int(sampled.test.relevant()[0][0]), int(sampled.test.history.by_user()[user][0])
    free = [i for i in lists[user] if i != target]
    for row, message in (
        (free, f"target is no candidate .internal user {user}, item {target}"),
        ([*lists[user], known], f"known pair is a candidate .internal user {user}, item {known}"),
        ([*lists[user], free[0]], "stands twice"),
    ):
        spoilt = Ragged.from_lists([*lists[:user], row, *lists[user + 1 :]])
        test = Holdout(sampled.test.history, sampled.test.target, sampled.test.at, spoilt)
        with pytest.raises(BadInput, match=message):
            Split(five_weeks, sampled.train, sampled.validation, test, "by hand")
