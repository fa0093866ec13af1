"""What every setting of a command's own may hold: kinds and ranges, looked at before any work is begun."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypedDict, get_type_hints, is_typeddict

from twotower.config.checked import fitting_hints
from twotower.models.options import Range, at_least, between, count, positive

Count = Annotated[int, count]
Index = Annotated[int, at_least(0)]
Seed = Annotated[
    int, Range("a whole number from 0 to 4294967295", lambda value: isinstance(value, int) and 0 <= value < 2**32)
]
"""What every library takes for a seed."""
Share = Annotated[float, between(0, 1)]
Minutes = Annotated[float, at_least(0)]
Some = Range("at least one of them", lambda values: len(values) > 0)
"""Of a list: not empty."""
Counts = Annotated[list[Count], Some]
Seeds = Annotated[list[Seed], Some]


class _OfRun(TypedDict):
    run: str
    runs_dir: str


class _Workers(TypedDict):
    engine: str
    workers: Count
    threads: Count | None
    ray_address: str | None


class _Parts(TypedDict):
    out: str
    overwrite: bool
    batch_rows: Count
    part_rows: Count


class _Recall(TypedDict):
    recall_at: Counts
    target_recall: Share | None
    min_recall: Share
    n_queries: Count
    seed: Seed


class BuildIndex(_OfRun, _Recall):
    """`conf/build_index.yaml`."""

    index_file: str | None


class BuildShards(_OfRun, _Recall, _Workers):
    """`conf/build_shards.yaml`."""

    shard_rows: Count
    merge: Literal["memory", "disk"]


class VerifyIndex(_OfRun):
    """`conf/verify_index.yaml`."""

    n_queries: Count | None
    seed: Seed | None
    recall_at: Counts | None
    max_drop: float
    latency_at: list[Count]
    calls: Count
    threads: Count | None
    json: str | None


class TuneIndex(_OfRun):
    """`conf/tune_index.yaml`."""

    vectors: str | None
    queries: str | None
    metric: str
    target_recall: Share
    recall_at: Counts
    bytes_per_vector: Annotated[float, positive] | None
    count_vectors: bool
    n_queries: Count
    seed: Seed
    latency_at: Count
    calls: Count
    batch_seconds: Minutes
    threads: Count | None
    minutes: Minutes | None
    out: str | None
    compare: bool
    backends: Annotated[list[str], Some] | None
    grids: dict[str, Any]


class EmbedItems(_OfRun, _Workers, _Parts):
    """`conf/embed_items.yaml`."""

    items: str | None
    id: str
    npy: bool


class BatchRecommend(_OfRun, _Workers, _Parts):
    """`conf/batch_recommend.yaml`."""

    users: str | None
    column: str
    k: Count
    candidates: Count | None
    where: list[str] | None
    strategy: str | None
    exclude_seen: bool | None


class _Eval(TypedDict):
    ks: Counts
    primary: str
    block: Count
    resamples: Count
    level: Share
    slices: list[str]
    activity_edges: list[Count]
    seed: Seed
    max_trials: Count
    seeds: Seeds
    pool_seeds: bool
    tuned: str | None
    baseline: str | None
    baselines: list[str]
    peers: list[str]


class Evaluate(_OfRun):
    """`conf/evaluate.yaml` and `conf/eval/`."""

    runs: Annotated[list[str], Some] | None
    pairings: list[str]
    n_candidates: Count
    gold: bool | Literal["auto"]
    strategies: list[str]
    frontier_seconds: Minutes
    eval: _Eval


class Train(_OfRun):
    """`conf/train.yaml`, without its groups."""

    retriever: str | None
    ranker: str | None
    blend: list[str] | None
    blend_by: str
    prepared: str
    resume: bool
    whole_catalogue: bool
    as_of: Literal["newest", "test"]
    production: bool
    loggers: list[str]
    progress: bool
    device: str
    threads: Count | None


class Tune(Train):
    """`conf/tune.yaml`: what is beside the settings of training."""

    trials: Count
    minutes: Minutes | None
    metric: str
    seed: Seed
    prune: bool
    block: Count
    out: str | None


class Benchmark(TypedDict):
    """`conf/benchmark.yaml`."""

    data_sets: Annotated[list[str], Some]
    models: Annotated[list[str], Some]
    seeds: Seeds
    trials: Count
    towers_trials: Index
    tune_minutes: Minutes | None
    minutes_per_model: Annotated[float, positive] | None
    minutes: Minutes | None
    on_change: Literal["refuse", "redo"]
    retry: bool
    out: str
    metric: str
    ks: Counts
    compare_with: str
    block: Count
    n_candidates: Count
    resamples: Count
    level: Share
    seed: Seed


KINDS: Mapping[str, type] = {
    "train": Train,
    "tune": Tune,
    "evaluate": Evaluate,
    "build_index": BuildIndex,
    "build_shards": BuildShards,
    "verify_index": VerifyIndex,
    "tune_index": TuneIndex,
    "embed_items": EmbedItems,
    "batch_recommend": BatchRecommend,
    "benchmark": Benchmark,
}
"""Every file at the top of `conf/`, and what its settings may hold."""


def checked_settings(settings: Mapping[str, Any], command: str) -> dict[str, Any]:
    """Settings of a command, each of the kind and in the range that it may have; groups are left to their classes.

    Args:
        settings: plain values, composed from `conf/<command>.yaml`.
        command: a key of `KINDS`.

    Raises:
        BadConfig: it names the setting, its value and what to write.
    """
    return _checked(settings, KINDS[command], "")


def _checked(settings: Mapping[str, Any], kind: type, under: str) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    inner = {name: hint for name, hint in hints.items() if is_typeddict(hint)}
    checked = fitting_hints({name: hint for name, hint in hints.items() if name not in inner}, settings, under)
    return {**checked, **{name: _checked(settings[name], hint, f"{under}{name}.") for name, hint in inner.items()}}
