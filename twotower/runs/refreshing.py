"""`refresh`: brings newer events, users and items into a run without training."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from twotower.ann.base import IndexBase
from twotower.data.dataset import Dataset
from twotower.data.growth import grown
from twotower.data.ids import IdMap
from twotower.errors import BundleError
from twotower.runs.bundle import Bundle
from twotower.runs.prepared import load_prepared
from twotower.runs.publishing import publish, publish_index, save_model
from twotower.runs.serving_files import ServingFiles
from twotower.types import Bools, Floats

if TYPE_CHECKING:
    from twotower.models.base import Model

_KEPT = ("split", "train_seconds", "peak_memory_mib", "production")


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh brought.

    Attributes:
        bundle: the run as published.
        events: positive events that are known now, beyond those that the run knew.
        users: users that are new.
        items: items that are new and can be recommended.
        left_out: new items that the model cannot recommend without training.
        index: name of the class of the index that was built again; None: the run had none.
    """

    bundle: Bundle
    events: int
    users: int
    items: int
    left_out: int
    index: str | None


def refresh(bundle: Bundle, *, name: str | None = None) -> Refreshed:
    """Reads the run's data as they are now and publishes the run as of their newest event; nothing is trained.

    Histories, popularity and users are those of now. Towers also take new profiles, the features as they are now and
    the vectors of new items; other models know the items that they were fitted on. An index is built again with its
    options.

    Args:
        bundle: the run.
        name: of the refreshed run; None takes the place of the run, which stays as `<name>.1`.

    Raises:
        BundleError: the source has other columns than the run learnt from.
    """
    config = bundle.config()
    if "data" not in config:
        raise BundleError(
            f"run {bundle.name!r} was published from Python and names no source to read anew; fit and publish it again"
        )
    old, model = bundle.serving(), bundle.model()
    dataset = load_prepared(config["data"], Path(config["prepared"]))
    _refuse_other_columns(bundle, old, dataset)
    takes_items = _is_two_tower(model)
    data = grown(dataset, old.user_ids, old.item_ids, new_items=takes_items)
    files = ServingFiles.of(data, data.interactions, data.touched)
    if takes_items:
        model = model.serve(data, data.interactions, files.at)
    files = replace(
        files,
        recognised=_recognised(old, data, model, everybody=takes_items),
        popularity_then=_padded(old.popularity if old.popularity_then is None else old.popularity_then, data.n_items),
    )
    known = _numbers_left_out(dataset, data.item_ids)
    brought = {
        "events": len(data.interactions) - len(old.histories.values),
        "users": data.n_users - len(old.user_ids),
        "items": data.n_items - len(old.item_ids),
        "left_out": known,
    }
    index, measured = bundle.index() if bundle.has_vectors else None, bundle.index_manifest()
    published = _publish(bundle, name or bundle.name, files, model, brought)
    if index is not None:
        _index_again(index, measured or {}, published)
    return Refreshed(published, **brought, index=None if index is None else type(index).__name__)


def _is_two_tower(model: "Model") -> bool:
    from twotower.models.two_tower.estimator import TwoTower  # loads torch

    return isinstance(model, TwoTower)


def _recognised(old: ServingFiles, data: Dataset, model: "Model", *, everybody: bool) -> Bools:
    """Users whom the model knows by their id: towers, refreshed, all with events; others those of before. [n_users]."""
    if everybody:
        active = np.bincount(data.interactions.user, minlength=data.n_users) > 0
        return active | data.users.described() if model.reads_users else active
    before = np.ones(len(old.user_ids), np.bool_) if old.recognised is None else old.recognised
    return np.append(before, np.zeros(data.n_users - len(before), np.bool_))


def _padded(counts: Floats, size: int) -> Floats:
    return np.append(counts, np.zeros(size - len(counts), counts.dtype))


def _numbers_left_out(dataset: Dataset, item_ids: IdMap) -> int:
    return int((item_ids.to_internal(dataset.item_ids.external, unknown=-1) < 0).sum())


def _publish(bundle: Bundle, name: str, files: ServingFiles, model: "Model", brought: Mapping[str, int]) -> Bundle:
    def write(folder: Path) -> None:
        for kept in ("config.yaml", "training.json"):
            if (bundle.directory / kept).exists():
                shutil.copyfile(bundle.directory / kept, folder / kept)
        save_model(model, folder)
        files.save(folder)

    facts: dict[str, Any] = {key: bundle.manifest[key] for key in _KEPT if key in bundle.manifest}
    facts |= {"dataset": bundle.manifest["dataset"], "refreshed": json.loads(json.dumps(brought))}
    return publish(bundle.directory.resolve().parent, name, write, facts)


def _index_again(former: IndexBase, measured: Mapping[str, Any], run: Bundle) -> None:
    """Builds the index of the former run, with its options, for the vectors of now."""
    built = type(former)(**former.options()).build(run.item_vectors())
    facts = {key: measured[key] for key in ("recall", "n_queries", "query_seed") if key in measured}
    publish_index(run, built, {"options": built.options(), "measured_before_refresh": facts})


def _refuse_other_columns(bundle: Bundle, old: ServingFiles, dataset: Dataset) -> None:
    """The catalogue must have the columns that it had; values may be new.

    Raises:
        BundleError: it has others.
    """
    if old.catalogue.schema != dataset.items.schema:
        was, now = (", ".join(schema.names) or "none" for schema in (old.catalogue.schema, dataset.items.schema))
        raise BundleError(
            f"run {bundle.name!r} learnt from items with the columns {was}; the source now has {now}; train again"
        )
