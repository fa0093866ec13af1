"""`TowerInputs`: the encoded features that the towers read, and the same on a device."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch

from twotower.data.interactions import Interactions
from twotower.features.encoded import Bags, Codes, EncodedTable
from twotower.nn.packed import PackedTable
from twotower.nn.tensors import FeatureTensors
from twotower.types import Ids, Ragged

TABLES = ("users", "profiles", "items")
MOMENT = "moment.json"


@dataclass(frozen=True, slots=True, eq=False)
class TowerInputs:
    """Encoded features of all users, profiles and items.

    Attributes:
        users: users' own features; the last row stands for an unknown user. n_users + 1 rows.
        profiles: profiles of users at refresh moments; row 0 is the empty profile.
        items: item features. N rows.
        identities: number of each item's identity, 0 for items without one. Shape [N].
        at: moment as of which all is told, seconds since the epoch.
    """

    users: EncodedTable
    profiles: EncodedTable
    items: EncodedTable
    identities: Ids
    at: int

    def to(self, device: torch.device) -> "DeviceInputs":
        """Copies everything to a device."""
        return DeviceInputs(
            FeatureTensors.of(self.users, device),
            FeatureTensors.of(self.profiles, device),
            FeatureTensors.of(self.items, device),
            torch.as_tensor(self.identities, device=device),
        )

    def packed(self) -> "DeviceInputs":
        """As `to` the CPU, in the form that trains fastest there; what is added up differs from `to` by rounding."""
        return DeviceInputs(
            PackedTable.of(self.users),
            PackedTable.of(self.profiles),
            PackedTable.of(self.items),
            torch.as_tensor(self.identities),
        )

    def save(self, directory: Path, tables: Sequence[str] = TABLES) -> None:
        """A file for each table and the moment, in a directory that is made if needed.

        Identities belong to `TowerFeatures`.
        """
        directory.mkdir(parents=True, exist_ok=True)
        for name in tables:
            getattr(self, name).save(directory / f"{name}.safetensors")
        (directory / MOMENT).write_text(json.dumps({"at": self.at}) + "\n")

    @classmethod
    def load(
        cls, directory: Path, identities: Ids, *, profiles: EncodedTable | None = None, mapped: bool = False
    ) -> Self:
        """Opens what `save` wrote; profiles that are given are not read. For `mapped` see `EncodedTable.load`."""
        given = {} if profiles is None else {"profiles": profiles}
        read = {
            name: EncodedTable.load(directory / f"{name}.safetensors", mapped=mapped)
            for name in TABLES
            if name not in given
        }
        at = json.loads((directory / MOMENT).read_text())["at"]
        return cls(**read, **given, identities=identities, at=at)

    def user_rows(self, users: Ids) -> Ids:
        """Rows of `users`, unknown users at the last one."""
        return np.where(users < 0, len(self.users) - 1, users)


@dataclass(frozen=True, slots=True, eq=False)
class DeviceInputs:
    """`TowerInputs` as tensors."""

    users: FeatureTensors | PackedTable
    profiles: FeatureTensors | PackedTable
    items: FeatureTensors | PackedTable
    identities: torch.Tensor


def number_identities(events: Interactions, min_count: int) -> Ids:
    """Numbers 1, 2, … for items with at least `min_count` events, 0 for the rest. Shape [N]."""
    known = events.item_counts() >= max(1, min_count)
    return np.where(known, np.cumsum(known), 0).astype(np.int64)


def with_unknown_row(table: EncodedTable) -> EncodedTable:
    """The table and one more row with every field unknown."""
    codes: dict[str, Codes] = {}
    for name, values in table.codes.items():
        if isinstance(values, Bags):
            offsets = np.append(values.codes.offsets, values.codes.offsets[-1])
            codes[name] = Bags(Ragged(values.codes.values, offsets), values.weights)
        else:
            codes[name] = np.append(values, 0).astype(np.int32)
    blank = np.zeros((1, table.continuous.shape[1]), np.float32)
    return EncodedTable(table.sizes, codes, np.concatenate([table.continuous, blank]), table.continuous_names)
