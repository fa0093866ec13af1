"""Training throughput of others on the same events: plain torch loops around the same networks, implicit, LightFM."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from scipy.sparse import coo_array, csr_matrix
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from twotower.data.interactions import Interactions
from twotower.features.encoded import Bags, EncodedTable
from twotower.models.two_tower.inputs import TowerInputs
from twotower.models.two_tower.networks import JointModel
from twotower.models.two_tower.user_net import UserInputs
from twotower.nn.losses import affine_similarity, preference_bce
from twotower.nn.packed import Features
from twotower.nn.tensors import BagTensors, FeatureTensors
from twotower.types import Ids

Example = dict[str, Any]
Batch = dict[str, Features]


@dataclass(frozen=True, slots=True)
class Throughput:
    """How many positives were trained on, in how long.

    Attributes:
        positives: training pairs.
        seconds: wall time, batch assembly included.
    """

    positives: int
    seconds: float

    @property
    def rate(self) -> float:
        """Positives per second."""
        return self.positives / self.seconds


def timed(run: Callable[[], int]) -> Throughput:
    """Runs something that says how many positives it trained on."""
    started = time.perf_counter()
    positives = run()
    return Throughput(positives, time.perf_counter() - started)


class DictExamples(Dataset[Example]):
    """One dictionary of arrays per training pair and one uniform negative: what torch's tutorials teach to write.

    Args:
        events: training pairs.
        inputs: encoded features.
        profile_rows: row of `inputs.profiles` for each pair. Shape [E].
        seed: of the negatives.
    """

    def __init__(self, events: Interactions, inputs: TowerInputs, profile_rows: Ids, seed: int = 0) -> None:
        self.events, self.inputs, self.profile_rows = events, inputs, profile_rows
        self._rng = np.random.default_rng(seed)

    def __len__(self) -> int:
        return len(self.events)

    def __getitem__(self, row: int) -> Example:
        user, item = int(self.events.user[row]), int(self.events.item[row])
        return {
            "static": _row(self.inputs.users, user),
            "profile": _row(self.inputs.profiles, int(self.profile_rows[row])),
            "positive": _row(self.inputs.items, item),
            "negative": _row(self.inputs.items, int(self._rng.integers(self.events.n_items))),
        }


class GatheredBatches:
    """The same pairs batch by batch, each field gathered from one tensor: what a careful author would write.

    Iterating gives an epoch in random order, with one uniform negative a pair.

    Args:
        examples: the pairs, their features and profiles.
        batch_size: pairs per batch.
        seed: of order and negatives.
    """

    def __init__(self, examples: DictExamples, batch_size: int, seed: int = 0) -> None:
        self.examples, self.batch_size, self.seed = examples, batch_size, seed
        self._inputs = examples.inputs.to(torch.device("cpu"))

    def __iter__(self) -> Iterator[Batch]:
        rng, events = np.random.default_rng(self.seed), self.examples.events
        order = rng.permutation(len(events))
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            users, items = (torch.from_numpy(ids[rows].astype(np.int64)) for ids in (events.user, events.item))
            drawn = torch.from_numpy(rng.integers(events.n_items, size=len(rows)))
            profiles = torch.from_numpy(self.examples.profile_rows[rows])
            yield {
                "static": self._inputs.users.take(users),
                "profile": self._inputs.profiles.take(profiles),
                "positive": self._inputs.items.take(items),
                "negative": self._inputs.items.take(drawn),
            }


def torch_loops(examples: DictExamples, batch_size: int) -> dict[str, Iterable[Batch]]:
    """Two ways to write the loop in plain torch: a DataLoader over dictionaries, and fields gathered by batch."""
    loader = DataLoader(examples, batch_size=batch_size, shuffle=True, collate_fn=_collated)
    return {"loop over dictionaries": loader, "loop over gathered fields": GatheredBatches(examples, batch_size)}


def plain_torch(model: JointModel, batches: Iterable[Batch], *, at_most: int, lr: float = 3e-3) -> Throughput:
    """One embedding per field, autograd, Adam: the same networks as ours, BCE and similarity.

    Args:
        model: towers of features only and RankNet.
        batches: the training pairs.
        at_most: batches after which it stops.
        lr: of Adam.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    model.train()

    def run() -> int:
        seen = 0
        for _, batch in zip(range(at_most), batches, strict=False):
            optimizer.zero_grad()
            _loss(model, batch).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            seen += len(batch["positive"])
        return seen

    return timed(run)


def installed_peers(dim: int, threads: int, seed: int = 0) -> dict[str, Callable[[Interactions], Throughput]]:
    """Name to one epoch of each installed library with vectors of the same width; ids only, no features.

    Args:
        dim: length of the vectors.
        threads: that they may use.
        seed: of their vectors and draws.
    """
    loops: dict[str, Callable[[Interactions], Throughput]] = {}
    if find_spec("implicit"):
        loops["implicit, BPR"] = lambda events: _implicit_bpr(events, dim, threads, seed)
    if find_spec("lightfm"):
        loops["LightFM, WARP"] = lambda events: _lightfm_warp(events, dim, threads, seed)
    return loops


def _implicit_bpr(events: Interactions, dim: int, threads: int, seed: int) -> Throughput:
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    model = BayesianPersonalizedRanking(factors=dim, iterations=1, num_threads=threads, random_state=seed)
    matrix = csr_matrix(_pairs(events))  # what implicit asks for
    return timed(lambda: model.fit(matrix, show_progress=False) or len(events))


def _lightfm_warp(events: Interactions, dim: int, threads: int, seed: int) -> Throughput:
    from lightfm import LightFM

    model, matrix = LightFM(no_components=dim, loss="warp", random_state=seed), _pairs(events)
    return timed(lambda: len(events) if model.fit(matrix, epochs=1, num_threads=threads) else 0)


def _pairs(events: Interactions) -> coo_array:
    """One for every pair. Shape [n_users, n_items]."""
    shape = (events.n_users, events.n_items)
    return coo_array((np.ones(len(events), np.float32), (events.user, events.item)), shape=shape)


def _row(table: EncodedTable, row: int) -> Example:
    """One row as a dictionary: a code, or codes and weights, per field, and the numbers."""
    fields: Example = {"numbers": table.continuous[row]}
    for name, codes in table.codes.items():
        if isinstance(codes, Bags):
            here = slice(codes.codes.offsets[row], codes.codes.offsets[row + 1])
            fields[name] = (codes.codes.values[here], codes.weights[here])
        else:
            fields[name] = codes[row]
    return fields


def _collated(examples: list[Example]) -> Batch:
    return {part: _features([example[part] for example in examples]) for part in examples[0]}


def _features(rows: list[Mapping[str, Any]]) -> FeatureTensors:
    """Dictionaries to tensors, field by field."""
    codes: dict[str, Tensor | BagTensors] = {}
    for name in rows[0]:
        if name == "numbers":
            continue
        values = [row[name] for row in rows]
        codes[name] = _bag(values) if isinstance(values[0], tuple) else torch.tensor(np.asarray(values, np.int64))
    return FeatureTensors(codes, torch.from_numpy(np.stack([row["numbers"] for row in rows])))


def _bag(values: list[tuple[Any, Any]]) -> BagTensors:
    offsets = np.concatenate([[0], np.cumsum([len(codes) for codes, _ in values])])
    codes, weights = (np.concatenate(parts) for parts in zip(*values, strict=True))
    return BagTensors(torch.from_numpy(codes.astype(np.int64)), torch.from_numpy(weights), torch.from_numpy(offsets))


def _loss(model: JointModel, batch: Batch) -> Tensor:
    """The objective `multi_cos_affine` with one negative per positive."""
    n, dim = len(batch["positive"]), model.user_net.dim
    nobody = torch.zeros(n, dtype=torch.long)
    users = model.user_net(UserInputs(batch["static"], batch["profile"], None, torch.zeros(n, 0, dim)))[:, 0]
    sides = [batch["positive"], batch["negative"]]
    items = torch.stack([model.item_net(side, nobody) for side in sides], dim=1)  # [P, 2, D]
    wide = torch.stack([model.wide_shares(side) for side in sides], dim=1)
    logits = model.rank_net(users, items, wide + model.wide_users(batch["static"], batch["profile"])[:, None])
    cosine = (users[:, None] * items).sum(-1)
    label = torch.tensor([1.0, 0.0]).expand_as(cosine)
    return preference_bce(logits[:, 0], logits[:, 1:]) + 0.5 * affine_similarity(cosine, label)
