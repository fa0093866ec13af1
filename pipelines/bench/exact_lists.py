"""Job: measures exact lists over a whole catalogue beside the ways of RecBole and implicit, on the same vectors.

    python pipelines/bench/exact_lists.py                        # 100,000 users x 100,000 items x 64, lists of 100
    python pipelines/bench/exact_lists.py --users 5000 --items 20000
    python pipelines/bench/exact_lists.py --only ours

Each way runs in a process of its own, with the threads that OMP_NUM_THREADS allows, and makes the lists of all users
without their known positives. Memory is what was held beyond the vectors and libraries, at the most.

- ours: `ALS.recommend`, asked in the blocks of the evaluation.
- recbole: torch, as RecBole's full-sort evaluation: scores of a batch of users over all items, known positives at -inf,
  `torch.topk`. A batch holds `eval_batch_size // items` users, at least one: with the default of 4096 that is one user
  (measured on a tenth of the users), and it is 256 where `eval_batch_size` is raised to 256 times the items.
- implicit: `implicit.cpu.topk.topk` in blocks of 1,000 users, as its own evaluation asks, where it is installed.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from scipy import sparse

from twotower.evaluation.examine import BLOCK
from twotower.evaluation.machine import machine, peak_memory_bytes
from twotower.types import Floats, Ids, Queries, Ragged

COMPARED = 2_000
"""Users, the first ones, whose lists are compared."""
EVAL_BATCH_SIZE = 4096
"""RecBole's default, in scores."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is asked: vectors of users [U, D] and items [N, D], items that each user knows, the length of the lists."""

    users: Floats
    items: Floats
    known: Ragged
    k: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What one way took: wall and CPU seconds (user and system), bytes beyond what was there before."""

    users: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int

    @property
    def rate(self) -> float:
        """Users per second."""
        return self.users / self.seconds


Lists = Iterator[Ids]
"""Items of consecutive users, block by block. Shapes [b, K]."""


def ours(job: Job) -> Lists:
    """`ALS.recommend` with given vectors."""
    from twotower.models.factorization.als import ALS

    model = ALS(dim=job.items.shape[1])
    model.n_items = len(job.items)
    popular = np.zeros(len(job.items), np.float32)
    vectors = {"user_vectors": job.users, "item_vectors": job.items, "popular": popular}
    model.set_state(vectors | {"mean_confidence": np.ones(1)})
    every = np.arange(len(job.users))
    for block in Queries(every, Ragged.empty(len(every)), job.known).blocks(BLOCK):
        yield model.recommend(block, job.k).items


def recbole(job: Job, batch: int) -> Lists:
    """Full scores of a batch of users in torch, as RecBole evaluates."""
    import torch

    users, items = torch.from_numpy(job.users), torch.from_numpy(job.items)
    with torch.inference_mode():
        for start in range(0, len(users), batch):
            known = job.known.take(np.arange(start, min(start + batch, len(users))))
            scores = users[start : start + batch] @ items.T  # [b, N]
            scores[torch.from_numpy(known.row_ids()), torch.from_numpy(known.values)] = -torch.inf
            yield torch.topk(scores, job.k, dim=-1).indices.numpy()


def recbole_default(job: Job) -> Lists:
    """RecBole-style with the default `eval_batch_size`, on a tenth of the users."""
    some = np.arange(max(1, len(job.users) // 10))
    return recbole(
        Job(job.users[some], job.items, job.known.take(some), job.k), max(1, EVAL_BATCH_SIZE // len(job.items))
    )


def recbole_256(job: Job) -> Lists:
    """RecBole-style with 256 users a batch."""
    return recbole(job, 256)


def implicit(job: Job) -> Lists:
    """The top-k of implicit's factor models."""
    from implicit.cpu.topk import topk

    threads = int(os.environ.get("OMP_NUM_THREADS", 0))
    ones = np.ones(len(job.known.values), np.float32)
    known = sparse.csr_matrix((ones, job.known.values, job.known.offsets), shape=(len(job.users), len(job.items)))
    for start in range(0, len(job.users), 1_000):
        rows = slice(start, start + 1_000)
        yield topk(job.items, job.users[rows], job.k, filter_query_items=known[rows], num_threads=threads)[0]


WAYS: dict[str, Callable[[Job], Lists]] = {
    "ours": ours,
    "recbole, 256 users a batch": recbole_256,
    "recbole, default": recbole_default,
    "implicit": implicit,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures one way here, or each in its own process and prints them side by side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--known", type=int, default=20, help="known positives of each user")
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--only", choices=WAYS, help="measure one way, print its figures as JSON")
    parser.add_argument("--lists", type=Path, help="with --only: .npy file for the lists of the first users")
    options = parser.parse_args(arguments)
    if options.only:
        found, lists = measured(WAYS[options.only], made_up(options))
        if options.lists:
            np.save(options.lists, lists)
        print(json.dumps(asdict(found)))
        return 0
    print("  ".join(f"{what}: {value}" for what, value in machine().items()))
    print(f"{options.users:,} users x {options.items:,} items x {options.dim}, lists of {options.k}, "
          f"{options.known} known positives each")  # fmt: skip
    return table(options)


def table(options: argparse.Namespace) -> int:
    """One line for each way, with its rate as a share of ours and how many lists are the same."""
    print(f"{'way':<28} {'users':>8} {'seconds':>8} {'CPU s':>8} {'users/s':>9} {'MiB':>7} {'ours is':>8} {'same':>8}")
    own: tuple[Figures, np.ndarray] | None = None
    with tempfile.TemporaryDirectory() as folder:
        for way in WAYS:
            if way == "implicit" and not find_spec("implicit"):
                print(f"{way:<28} not installed")
                continue
            file = Path(folder) / "lists.npy"
            command = [sys.executable, __file__, "--only", way, "--lists", str(file)]
            command += [f"--{name}={getattr(options, name)}" for name in ("users", "items", "dim", "known", "k")]
            run = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
            if run.returncode:
                return run.returncode
            found, lists = Figures(**json.loads(run.stdout.splitlines()[-1])), np.load(file)
            own = own or (found, lists)
            print(line(way, found, lists, *own), flush=True)
    return 0


def line(way: str, found: Figures, lists: np.ndarray, our_figures: Figures, our_lists: np.ndarray) -> str:
    """One way beside ours; lists are the same if they hold the same items in the same order."""
    same = (lists == our_lists[: len(lists)]).all(axis=1).mean()
    return (
        f"{way:<28} {found.users:>8,} {found.seconds:>8.1f} {found.cpu_seconds:>8.1f} {found.rate:>9,.0f} "
        f"{found.peak_bytes / 2**20:>7,.0f} {our_figures.rate / found.rate:>7.2f}x {same:>8.2%}"
    )


def measured(way: Callable[[Job], Lists], job: Job) -> tuple[Figures, np.ndarray]:
    """Runs over all users; keeps the lists of the first ones."""
    small = Job(job.users[:8], job.items[: 2 * job.k + 64], Ragged.empty(8), job.k)
    sum(len(block) for block in way(small))  # libraries are loaded and threads started
    before, started, cpu = peak_memory_bytes(), time.perf_counter(), _cpu_seconds()
    kept, done = [], 0
    for block in way(job):
        if done < COMPARED:
            kept.append(block[: COMPARED - done].astype(np.int32))
        done += len(block)
    figures = Figures(done, time.perf_counter() - started, _cpu_seconds() - cpu, peak_memory_bytes() - before)
    return figures, np.concatenate(kept)


def made_up(options: argparse.Namespace) -> Job:
    """Vectors whose directions matter less and less, as trained ones; each user knows some items."""
    rng = np.random.default_rng(0)
    weights = np.exp(-np.arange(options.dim) / options.dim).astype(np.float32)
    users, items = (rng.standard_normal((n, options.dim), np.float32) for n in (options.users, options.items))
    users *= weights
    known = rng.integers(0, options.items, (options.users, options.known))
    known.sort(axis=1)
    return Job(users, items, Ragged.from_lengths(known.ravel(), np.full(options.users, options.known)), options.k)


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
