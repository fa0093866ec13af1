"""`FittedModel`: a model and the data set that it was fitted on, asked and answering in the caller's ids and tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, cast

import pandas as pd

from twotower.data.dataset import Dataset
from twotower.data.frames import feature_rows
from twotower.data.growth import extended
from twotower.data.split import Split
from twotower.errors import BadConfig
from twotower.models.base import Model
from twotower.runs.asking import listed, of_each, pair_rows, selection_of, shown_lists
from twotower.runs.bundle import LATEST, Bundle, HasVectors
from twotower.runs.kept_data import dataset_of, publish_fitted
from twotower.runs.serve_options import ServeOptions
from twotower.runs.served_run import ServedRun, headings
from twotower.runs.serving_files import ServingFiles
from twotower.stages.recommender import ways
from twotower.text import html_table
from twotower.types import UNKNOWN_USER, Floats, Queries

ByUser = Mapping[Any, Sequence[Any]]


class FittedModel:
    """What `model.fit(dataset)` and `load` give: lists, scores and vectors as DataFrames of external ids.

    It answers as a published run does (`served`, a `ServedRun`), and `publish` makes it one.

    Attributes:
        served: the model with ids, catalogue, histories and stages.
        split: how it learnt, e.g. "all events".
    """

    def __init__(self, served: ServedRun, split: str, dataset: Dataset | None = None, bundle: Bundle | None = None):
        self.served = served
        self.split = split
        self._dataset = dataset
        self._bundle = bundle
        self._alike: Floats | None = None

    @classmethod
    def of(cls, model: Model, split: Split, *, options: ServeOptions | None = None) -> Self:
        """A model that was fitted on a split, to be asked with all events of its data set known."""
        data = split.dataset
        described = data.users.described() if model.reads_users else None
        files = ServingFiles.of(data, data.interactions, data.touched, then=split.test.history, described=described)
        vectors = cast(HasVectors, model).item_vectors if model.has_vectors else None
        served = ServedRun.of(data.name, files, model, options=options or ServeOptions(), vectors=vectors)
        return cls(served, split.name, data)

    @classmethod
    def load(cls, run: str | Path = LATEST, runs_dir: str | Path = "runs") -> Self:
        """Opens a run by path or name, whether `publish` or `twotower train` wrote it.

        Raises:
            BundleError: there is none, or a file is not what was published.
        """
        bundle = Bundle.open(run if isinstance(run, str) else run.expanduser(), runs_dir)
        return cls(ServedRun.open(bundle.directory), str(bundle.manifest.get("split", "")), bundle=bundle)

    def __repr__(self) -> str:
        files = self.served.files
        sizes = f"{len(files.user_ids):,} users, {len(files.item_ids):,} items"
        return f"<FittedModel {self.served.model!r} of {files.name}: {sizes}; {self.split}>"

    def _repr_html_(self) -> str:
        files = self.served.files
        facts = [
            ("model", repr(self.model)), ("data", files.name), ("learnt from", self.split),
            ("users", f"{len(files.user_ids):,}"), ("items", f"{len(files.item_ids):,}"),
            ("columns for where=", ", ".join(files.catalogue.schema.names) or "none"),
        ]  # fmt: skip
        return html_table(facts, "FittedModel")

    @property
    def model(self) -> Model:
        """The model itself, which answers `Queries` of internal ids."""
        return self.served.model

    def recommend(
        self,
        users: Any = None,
        k: int = 10,
        *,
        history: ByUser | None = None,
        features: Any = None,
        where: str | Sequence[str] = (),
        exclude: Sequence[Any] | ByUser = (),
        items: Sequence[Any] | ByUser | None = None,
        exclude_seen: bool | None = None,
        boosts: Mapping[Any, float] | None = None,
        diversity: float = 0.0,
    ) -> pd.DataFrame:
        """The k best items of each user, as `twotower recommend` lists them.

        Args:
            users: external ids, or one of them; None: all users of the data set. Unknown ones are served from their
                history, else get popular items.
            k: wanted items; fewer where fewer are left.
            history: user to items, oldest first, that follow what is known of the user.
            features: a table of users with their features, new ones among them, which the model is from now on told.
            where: catalogue rules such as `price<=100`; an item must meet all.
            exclude: items that nobody gets, or a mapping from user to items; unknown items are passed over.
            items: the only items that may be returned, or a mapping from user to such items.
            exclude_seen: whether what a user has touched is left out; None: as the run's options say, which do.
            boosts: item to what lifts it (or, negative, lowers it) among the candidates of a user, in standard
                deviations of their scores.
            diversity: 0..1; above 0 maximal marginal relevance spreads the list, and scores need not fall.

        Returns:
            user, item, rank (from 1), score, title where items have one, and how the user was served.

        Raises:
            UnknownId: an item of a history, of `items` or of `boosts` is not in the catalogue.
            BadConfig: a rule does not fit the catalogue.
            BadInput: what is given as users are none, or k < 1.
        """
        if features is not None:
            self.add_users(features)
        served = self._under(where, exclude_seen)
        asked = listed(users, served.files.user_ids.external if users is None else None)
        queries = self._queries(served, asked, history)
        select = selection_of(served.files.item_ids, boosts, diversity, self._likeness if diversity else None)
        known = served.files.user_ids.to_internal(asked, unknown=UNKNOWN_USER) != UNKNOWN_USER
        return shown_lists(
            served, asked, queries, min(k, len(served.files.item_ids)), select=select, exclude=exclude, items=items,
            how=headings(ways(queries), known),
        )  # fmt: skip

    def score(self, pairs: Any, *, history: ByUser | None = None) -> pd.DataFrame:
        """What the model says of pairs of a user and an item, seen before or not.

        Args:
            pairs: a table whose first two columns (or those called user and item) are users and items, or such tuples.
            history: as in `recommend`.

        Returns:
            user, item, score, in the order of the pairs. A score is that of the stage that orders lists; of users of
            whom nothing is known, the item's number of events.

        Raises:
            UnknownId: an item is not in the catalogue.
        """
        users, items = pair_rows(pairs)
        order = list(dict.fromkeys(users))
        queries = self._queries(self.served, order, history)
        row_of = {user: row for row, user in enumerate(order)}
        scores = self.served.scores(queries, [row_of[user] for user in users], items)
        return pd.DataFrame({"user": users, "item": items, "score": scores})

    def similar(self, items: Any, k: int = 10, *, where: str | Sequence[str] = ()) -> pd.DataFrame:
        """The k items most like each of some: by the model's vectors, or by who touched them if it has none.

        Args:
            items: external ids, or one of them.
            k: wanted items.
            where: catalogue rules.

        Returns:
            item, similar, rank (from 1), cosine, and title where items have one.
        """
        served, rows = self._under(where, None), []
        for item in listed(items, None):
            found = served.similar(item, k, self._likeness)
            rows += [(item, place.item, rank, place.cosine, place.title) for rank, place in enumerate(found, 1)]
        table = pd.DataFrame(rows, columns=["item", "similar", "rank", "cosine", "title"])
        return table if served.files.title else table.drop(columns="title")

    def user_vectors(self, users: Any = None, *, history: ByUser | None = None) -> pd.DataFrame:
        """Vectors whose product with `item_vectors` is the score of the first stage; one row a user, by id.

        Raises:
            BadConfig: the model has none.
        """
        model = self._with_vectors()
        asked = listed(users, self.served.files.user_ids.external if users is None else None)
        return pd.DataFrame(
            model.user_vectors(self._queries(self.served, asked, history)), pd.Index(asked, name="user")
        )

    def item_vectors(self, items: Any = None) -> pd.DataFrame:
        """Vectors of some items, or of all; one row an item, by id.

        Raises:
            BadConfig: the model has none.
            UnknownId: an item is not in the catalogue.
        """
        model, ids = self._with_vectors(), self.served.files.item_ids
        asked = listed(items, ids.external if items is None else None)
        return pd.DataFrame(model.item_vectors[ids.to_internal(asked)], pd.Index(asked, name="item"))

    def add_items(self, items: Any, *, id: str | None = None) -> Self:
        """Takes new items, or newer features of known ones, by what they are; nothing is trained.

        Args:
            items: a table with the columns of the data set's items; what it lacks is missing.
            id: column of ids; None: "item", "item_id", "id", or the only column that is no feature.

        Raises:
            BadConfig: the model knows no more items than it was fitted on.
        """
        data = self._data("takes no new items: fit again on the grown catalogue, or use two_tower")
        return self._stand_ready(extended(data, items=feature_rows(items, "items", data.items.schema, id)))

    def add_users(self, users: Any, *, id: str | None = None) -> Self:
        """Takes new users, or newer features of known ones, by their features; nothing is trained.

        Args:
            users: a table with the columns of the data set's users; what it lacks is missing.
            id: column of ids; None: "user", "user_id", "id", or the only column that is no feature.

        Raises:
            BadConfig: the model does not read features of users.
        """
        data = self._data("reads no features of users: give their history instead, or use two_tower")
        return self._stand_ready(extended(data, users=feature_rows(users, "users", data.users.schema, id)))

    def publish(self, path: str | Path, *, keep: int = 3) -> Path:
        """Writes a run that `load`, `twotower recommend` and every other command open; it appears whole or not at all.

        Args:
            path: of the run, such as `runs/shop`. A former run there stays as `shop.1`.
            keep: former runs to keep.

        Raises:
            BadConfig: something that is no run lies there, or the name cannot be a run's.
        """
        return publish_fitted(
            self.served, self._dataset, self.split, Path(path).expanduser(), keep=keep, of=self._bundle
        )

    @property
    def _likeness(self) -> Floats:
        if self._alike is None or len(self._alike) != len(self.served.files.item_ids):
            self._alike = self.served.alike()
        return self._alike

    def _under(self, where: str | Sequence[str], exclude_seen: bool | None) -> ServedRun:
        changes: dict[str, Any] = {} if exclude_seen is None else {"exclude_seen": exclude_seen}
        rules = [where] if isinstance(where, str) else list(where)
        changes |= {"where": [*self.served.options.where, *rules]} if rules else {}
        return self.served.under(**changes) if changes else self.served

    def _queries(self, served: ServedRun, users: Sequence[Any], history: ByUser | None) -> Queries:
        given = of_each(users, history or {}, "history")
        return served.queries(users, [listed(() if items is None else items, None) for items in given])

    def _with_vectors(self) -> HasVectors:
        if not self.model.has_vectors:
            raise BadConfig(f"{type(self.model).__name__} has no vectors; those of two_tower, als or mf_warp have some")
        return cast(HasVectors, self.model)

    def _data(self, otherwise: str) -> Dataset:
        """The data set, for a model that can be told of new users and items."""
        from twotower.models.two_tower.estimator import TwoTower  # loads torch

        if not isinstance(self.model, TwoTower):
            raise BadConfig(f"{type(self.model).__name__} {otherwise}")
        if self._dataset is None:
            assert self._bundle is not None
            self._dataset = dataset_of(self._bundle, self.served.files)
        return self._dataset

    def _stand_ready(self, data: Dataset) -> Self:
        """Serves a grown data set."""
        files = ServingFiles.of(data, data.interactions, data.touched, then=data.interactions,
                                described=data.users.described())  # fmt: skip
        model = self.model.serve(data, data.interactions, files.at)
        vectors = cast(HasVectors, model).item_vectors
        self.served = ServedRun.of(self.served.name, files, model, options=self.served.options, vectors=vectors)
        self._dataset, self._alike = data, None
        return self


def load(run: str | Path = LATEST, runs_dir: str | Path = "runs") -> FittedModel:
    """Opens a published run, see `FittedModel.load`."""
    return FittedModel.load(run, runs_dir)
