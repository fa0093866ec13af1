"""The index of a run: built, calibrated, measured and published."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import numpy as np

from twotower.allowed import INDEX
from twotower.ann.base import IndexBase
from twotower.ann.measuring.recall import GroundTruth, calibrated
from twotower.config.compose import instantiate, read_plain
from twotower.errors import BadConfig, BundleError
from twotower.runs.bundle import LATEST, Bundle, HasVectors
from twotower.runs.publishing import publish_index
from twotower.storage.writable import refuse_unwritable
from twotower.types import Floats


@dataclass(frozen=True, slots=True)
class Built:
    """What was published.

    Attributes:
        run: name of the run.
        backend: class of the index.
        count: vectors in it.
        seconds: time to build, without measuring.
        recall: k to mean recall@k.
        effort: what searching does per query, such as `nprobe 64`.
    """

    run: str
    backend: str
    count: int
    seconds: float
    recall: Mapping[int, float]
    effort: str = ""

    def __str__(self) -> str:
        recalls = [f"recall@{k} {value:.4f}" for k, value in self.recall.items()]
        details = ", ".join([*([self.effort] if self.effort else []), *recalls])
        return f"run {self.run}: {self.backend} of {self.count:,} items in {self.seconds:.1f} s, {details}"


def build_index(
    options: Mapping[str, Any],
    run: str | Path = LATEST,
    runs_dir: str | Path = "runs",
    *,
    recall_at: Sequence[int] = (10, 100, 500),
    target_recall: float | None = None,
    min_recall: float = 0.95,
    n_queries: int = 1000,
    seed: int = 0,
) -> Built:
    """Builds, calibrates, measures and publishes the index of a run; the old one is served until the last moment.

    Args:
        options: `_target_` and constructor options of the index, as in `conf/index/`.
        run: name or path of the run.
        runs_dir: where runs lie.
        recall_at: list lengths to measure; those above the catalogue are left out.
        target_recall: recall to be reached, at every length, with the least effort, such as the number of cells looked
            into; None keeps the options as they are.
        min_recall: least recall, at every length, of an index that is published.
        n_queries: how many users' vectors to measure with; as many others calibrate.
        seed: which users.

    Raises:
        BundleError: no such run, or the index finds too little.
    """
    bundle = Bundle.open(run, runs_dir)
    refuse_unwritable(bundle.directory)
    vectors = bundle.item_vectors()
    started = perf_counter()
    index = _built(options, vectors)
    seconds = perf_counter() - started
    return publish_measured(
        bundle, index, seconds, recall_at=recall_at, target_recall=target_recall, min_recall=min_recall,
        n_queries=n_queries, seed=seed,
    )  # fmt: skip


def publish_measured(
    bundle: Bundle,
    index: IndexBase,
    seconds: float,
    *,
    recall_at: Sequence[int],
    target_recall: float | None,
    min_recall: float,
    n_queries: int,
    seed: int,
) -> Built:
    """Calibrates, measures and publishes an index that was built in so many seconds; arguments as `build_index`.

    Raises:
        BundleError: the index finds too little.
    """
    vectors = bundle.item_vectors()
    calibrating, held_out = user_samples(bundle, n_queries, seed)
    if target_recall is not None and not index.exact:
        index = calibrated(index, GroundTruth(vectors, calibrating, recall_at, index.metric), target_recall)
    recall = GroundTruth(vectors, held_out, recall_at, index.metric).recall(index)
    _refuse_poor(recall, min_recall)
    measured = {"recall": recall, "n_queries": len(held_out), "query_seed": seed, "build_seconds": seconds}
    publish_index(bundle, index, {"options": index.options(), **measured})
    return Built(bundle.name, type(index).__name__, len(index), seconds, recall, _effort(index))


def user_samples(bundle: Bundle, n: int, seed: int) -> tuple[Floats, Floats]:
    """Vectors of users who have a history, in two groups of up to n without a common user. Shapes [B, D].

    Raises:
        BundleError: fewer than two users of the run have a history.
    """
    files = bundle.serving()
    active = np.flatnonzero(files.histories.lengths)
    if len(active) < 2:
        raise BundleError(f"run {bundle.name!r}: {len(active)} users have a history, so recall cannot be measured")
    drawn = np.random.default_rng(seed).permutation(active)[: 2 * n]
    vectors = cast(HasVectors, bundle.model()).user_vectors(files.queries(drawn))
    return vectors[: len(drawn) // 2], vectors[len(drawn) // 2 :]


def options_in(path: Path) -> Mapping[str, Any]:
    """`_target_` and options of an index from a YAML file of its own.

    Raises:
        BadConfig: there is no such file, or it is something else.
    """
    options = read_plain(path, "index_file")
    if "_target_" not in options:
        raise BadConfig(f"index_file {path} must hold _target_ and options, as the files of conf/index/ do")
    return options


def _built(options: Mapping[str, Any], vectors: Floats) -> IndexBase:
    from tqdm import tqdm

    with tqdm(total=len(vectors), desc="build index", unit=" items", unit_scale=True) as bar:
        index: IndexBase = instantiate(options, INDEX).build(vectors, progress=bar.update)
    return index


def _refuse_poor(recall: Mapping[int, float], least: float) -> None:
    for k, value in recall.items():
        if value < least:
            raise BundleError(
                f"not published: recall@{k} is {value:.4f}, below min_recall={least}; "
                "give the index a more thorough setting, or lower min_recall"
            )


def _effort(index: IndexBase) -> str:
    return "" if index.effort is None else f"{index.effort} {getattr(index, index.effort)}"
