"""`Published`: the cut that a publisher made, with validation taken out of its training part."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from twotower.data.dataset import Dataset
from twotower.data.interactions import Interactions
from twotower.data.sources.published import TEST, TRAIN, read_negatives
from twotower.data.split import Split
from twotower.data.splitters.parts import assemble, check_shares, distinct_ranks, rounded
from twotower.data.splitters.sampled import with_negatives
from twotower.errors import BadConfig, BadInput
from twotower.types import Bools, Ragged


class Published:
    """Events of kind "train" and "test" as the publisher cut them; validation comes out of train.

    Papers often tune on the published test; here tuning sees a part of train, which the last fit learns again, so the
    test is foreseen from all that the publisher gave for it.

    Args:
        validation: share of the training pairs, drawn by chance; or "last", each user's last item, where times or the
            order of the file say which that is.
        seed: of the draw.
        negatives: NCF's `.test.negative` file: each test item competes with the items listed for it, and validation
            with as many that are drawn; None: the full catalogue competes.
    """

    def __init__(
        self, *, validation: float | Literal["last"] = 0.1, seed: int = 0, negatives: str | Path | None = None
    ) -> None:
        if isinstance(validation, str):
            if validation != "last":
                raise BadConfig(f"published: validation={validation!r}: give a share or last")
        else:
            check_shares("published", validation=validation)
        self.validation, self.seed = validation, seed
        self.negatives = None if negatives is None else Path(negatives)

    @property
    def name(self) -> str:
        """E.g. "published(validation=last, seed=0, negatives=ml-1m.test.negative)"."""
        listed = "" if self.negatives is None else f", negatives={self.negatives.name}"
        return f"published(validation={self.validation}, seed={self.seed}{listed})"

    def split(self, dataset: Dataset) -> Split:
        """Takes the publisher's parts.

        Raises:
            BadInput: the data set was not read from published parts, or the negatives do not fit its test.
        """
        events = dataset.interactions
        if not {TRAIN, TEST} <= set(events.kinds):
            raise BadInput(
                f"split {self.name} of {dataset.name}: its events are not marked train and test but "
                f"{', '.join(events.kinds)}; choose another protocol, or read a published split"
            )
        learnt = events.kind == events.kinds.index(TRAIN)
        held = self._validation(events, learnt)
        cut = assemble(
            dataset,
            self.name,
            train=learnt & ~held,
            validation=held,
            test=events.kind == events.kinds.index(TEST),
            ordered_by_time=False,  # the publisher's cut is taken as it is
            remedy="hold out more for validation, or another file",
        )
        return cut if self.negatives is None else self._sampled(cut, self.negatives)

    def _validation(self, events: Interactions, learnt: Bools) -> Bools:
        """The training events held out for validation; all events of a pair go together. Shape [E]."""
        train = events.where(learnt)
        if self.validation == "last":
            rank, distinct = distinct_ranks(train)
            chosen = (rank == distinct[train.user]) & (distinct[train.user] > 1)
            chosen &= ~train.where(~chosen).has_pairs_of(train)  # a repeat of a known item is no new one
        else:
            pairs, of_event = np.unique(train.pair_keys(), return_inverse=True)
            n = int(rounded(float(self.validation), np.asarray(len(pairs))))
            drawn = np.zeros(len(pairs), np.bool_)
            drawn[np.random.default_rng(self.seed).permutation(len(pairs))[:n]] = True
            chosen = drawn[of_event]
        held = np.zeros(len(events), np.bool_)
        held[np.flatnonzero(learnt)[chosen]] = True
        return held

    def _sampled(self, cut: Split, path: Path) -> Split:
        """The listed negatives for the test, drawn ones for validation."""
        listed = _listed(cut, path)
        n = int(np.median(listed.take(cut.test.users()).lengths)) - 1
        where = f"split {self.name} of {cut.dataset.name}"
        validation = with_negatives(cut.validation, n, (self.seed, 0), where=where)
        test = replace(cut.test, candidates=listed, available=None)
        return Split(cut.dataset, cut.train, validation, test, cut.name, cut.ordered_by_time)


def _listed(cut: Split, path: Path) -> Ragged:
    """The test item, once, and the listed negatives of every user, internal ids. n_users rows.

    Raises:
        BadInput: a user of the test has no line, or a line's pair is not the user's test pair.
    """
    pairs, negatives = read_negatives(path)
    data, target = cut.dataset, cut.test.target
    users, items = (
        data.user_ids.to_internal(pairs[:, 0], unknown=-1),
        data.item_ids.to_internal(pairs[:, 1], unknown=-1),
    )
    line_of = dict(zip(zip(users.tolist(), items.tolist(), strict=True), range(len(pairs)), strict=True))
    rows = [np.empty(0, np.int64)] * data.n_users
    for user, item in zip(target.user.tolist(), target.item.tolist(), strict=True):
        row = line_of.get((user, item))
        if row is None:
            pair = data.user_ids.external[user], data.item_ids.external[item]
            raise BadInput(
                f"{path}: no line for the test pair ({pair[0]},{pair[1]}); the file belongs to another test file"
            )
        if len(rows[user]):
            raise BadInput(
                f"{path}: user {data.user_ids.external[user]} has two test items; one with a list is expected"
            )
        listed = data.item_ids.to_internal(negatives[row])
        rows[user] = np.append(item, listed[listed != item])  # 156 rows of NCF's ML-1M list the target itself too
    return Ragged.from_lists(rows)
