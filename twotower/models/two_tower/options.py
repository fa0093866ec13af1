"""Options of the towers, their features and their training, each written once; `conf/` overrides them by name."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from twotower.errors import BadConfig
from twotower.features.number_fields import NumberEncoding
from twotower.nn.history_kinds import HistoryKind
from twotower.text import near


@dataclass(frozen=True, slots=True, kw_only=True)
class TowerOptions:
    """Sizes of UserNet, ItemNet and RankNet.

    Attributes:
        dim: width of the towers' vectors.
        hidden: widths of hidden layers in either tower.
        dropout: on hidden layers and in the history network.
        history: how recent items are read: mean, attention, transformer, or None for features only.
        history_items: what it reads of them: ItemNet's vectors ("shared"), or those of a second tower that starts as
            a copy of ItemNet and knows content only ("content"), so that items without an identity count as much.
        history_length: most recent items that are read.
        history_layers, history_heads: of the transformer.
        identities: give items embeddings of their own, beside their features.
        identity_min_count: events that an item needs for an identity.
        identity_dropout: share of identities hidden in a training step, so that features speak for new items.
        svd_from: item fields of several values a row and at least so many values in all get a table as wide as the
            vectors, started from a truncated SVD of the items' TF-IDF matrix, and so do profiles; None: none do.
        rank_dropout: on RankNet's second layer.
        rank_interactions: product, cosine and direct path in RankNet; False is the published network.
    """

    dim: int = 64
    hidden: tuple[int, ...] = ()
    dropout: float = 0.2
    history: HistoryKind | None = "transformer"
    history_items: Literal["shared", "content"] = "shared"
    history_length: int = 100
    history_layers: int = 2
    history_heads: int = 2
    identities: bool = True
    identity_min_count: int = 1
    identity_dropout: float = 0.0
    svd_from: int | None = 1000
    rank_dropout: float = 0.1
    rank_interactions: bool = True

    def __post_init__(self) -> None:
        sizes = {"dim": self.dim, "history_length": self.history_length, "history_layers": self.history_layers,
                 "history_heads": self.history_heads}  # fmt: skip
        small = [f"towers.{name}={value}" for name, value in sizes.items() if value < 1]
        if small or min(self.hidden, default=1) < 1:
            raise BadConfig(f"{', '.join(small) or f'towers.hidden={list(self.hidden)}'}: widths must be at least 1")
        if self.history_items not in ("shared", "content"):
            raise BadConfig(f"towers.history_items={self.history_items!r} must be shared or content")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureOptions:
    """How features are encoded and profiles learnt; see `features.FeatureEncoder` and `features.ProfileLearner`.

    Attributes:
        min_count: values seen in fewer training rows share the unknown code.
        hash_buckets: of text columns.
        exclude: item or user columns to leave out, where they exist; a text column that is the title always is.
        numbers: what numbers become beside their z-values: quantile codes ("quantile"), piecewise-linear codes
            ("piecewise"), waves of learnt frequencies ("periodic"), or nothing ("z").
        number_bins: most bins of a number that becomes codes.
        times: what timestamps become: their age at the moment of asking ("age"), or one of the above.
        number_encodings: another choice than `numbers` or `times` for some columns, by name.
        place_cells: sides in kilometres of the cells of places.
        idf_from: multi-valued columns of at least so many known values are weighted by their rarity (IDF); None: never.
        profiles: learn user profiles from the items that they touched.
        window_days, refresh_days, min_events: of the profile learner.
        markov_weights: weigh kinds of events by how rare they are in the long run: domain, user, user_item, or None.
    """

    min_count: int = 1
    hash_buckets: int = 1024
    exclude: tuple[str, ...] = ()
    numbers: NumberEncoding = "quantile"
    number_bins: int = 20
    times: NumberEncoding = "age"
    number_encodings: Mapping[str, NumberEncoding] = field(default_factory=dict)
    place_cells: tuple[float, ...] = (100.0, 30.0, 10.0)
    idf_from: int | None = 1000
    profiles: bool = True
    window_days: float | None = 30
    refresh_days: float = 7
    min_events: int = 2
    markov_weights: Literal["domain", "user", "user_item"] | None = "domain"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """How the networks are trained.

    Attributes:
        epochs: most epochs.
        patience: epochs without a better validation MAP@10 before stopping; None never stops early.
        batch_size: events per batch; "auto" takes a hundredth of the training events, within 64 and 2048.
        lr: of Adam, on the towers and RankNet's deep part.
        schedule: the learning rate stays ("constant") or falls to zero over `epochs` ("linear").
        wide_optimizer, wide_lr: of RankNet's wide part.
        clip: largest norm of the gradient.
        validation_users: users whose validation MAP@10 is watched; None: all.
        validation_candidates: items that the towers retrieve for them and RankNet orders.
        refit: train again on train and validation events for as many epochs as were best.
        seed: of weights, batches, negatives, dropout.
        checkpoint_seconds: time between checkpoints inside an epoch.
        shard_tables_from: where several processes train, embedding tables with at least this many rows are split over
            them, row by row; None: each process holds all of every table.
        row_wise_from: an identity table with at least this many rows is moved by row-wise Adagrad, in the rows that a
            batch reads: a step of Adam costs as much as the table is large, its state twice the table. None: never.
        row_wise_lr: of that.
    """

    epochs: int = 12
    patience: int | None = 3
    batch_size: int | Literal["auto"] = "auto"
    lr: float = 3e-3
    schedule: Literal["constant", "linear"] = "linear"
    wide_optimizer: Literal["ftrl", "adam"] = "ftrl"
    wide_lr: float = 0.05
    clip: float = 5.0
    validation_users: int | None = 2000
    validation_candidates: int = 500
    refit: bool = False
    seed: int = 0
    checkpoint_seconds: float = 120.0
    shard_tables_from: int | None = None
    row_wise_from: int | None = 262_144
    row_wise_lr: float = 0.05

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.lr <= 0:
            raise BadConfig(f"train: epochs={self.epochs} must be at least 1, lr={self.lr} above 0")
        if self.batch_size != "auto" and (isinstance(self.batch_size, str) or self.batch_size < 1):
            raise BadConfig(f"train.batch_size={self.batch_size!r} must be at least 1, or auto")
        if self.shard_tables_from is not None and self.shard_tables_from < 1:
            raise BadConfig(f"train.shard_tables_from={self.shard_tables_from} must be at least 1, or null for never")
        if self.row_wise_lr <= 0 or (self.row_wise_from is not None and self.row_wise_from < 1):
            raise BadConfig(
                f"train.row_wise_from={self.row_wise_from} must be at least 1, or null for never; "
                f"train.row_wise_lr={self.row_wise_lr} above 0"
            )
        if self.schedule not in ("constant", "linear") or self.wide_optimizer not in ("ftrl", "adam"):
            raise BadConfig(
                f"train.schedule={self.schedule!r} must be constant or linear, "
                f"train.wide_optimizer={self.wide_optimizer!r} ftrl or adam"
            )

    def events_per_batch(self, n_events: int) -> int:
        """The batch size that is meant: small data gets small batches, or an epoch would be a handful of steps."""
        return min(2048, max(64, n_events // 100)) if self.batch_size == "auto" else int(self.batch_size)


def with_single(groups: tuple[Any, ...], options: Mapping[str, Any]) -> tuple[Any, ...]:
    """Groups of options with single ones exchanged by name; no two groups have an option of one name.

    Raises:
        BadConfig: no group has an option of that name.
    """
    names = [{option.name for option in fields(group)} for group in groups]
    for name in options:
        if not any(name in own for own in names):
            raise BadConfig(f"TwoTower has no option {name!r}; {near(name, sorted(set().union(*names)))}")
    return tuple(
        replace(group, **{name: value for name, value in options.items() if name in own})
        for group, own in zip(groups, names, strict=True)
    )
