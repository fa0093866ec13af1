"""`FeatureTensors`: an `EncodedTable` on a device, whose rows are gathered without leaving torch."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from twotower.features.encoded import Bags, EncodedTable


@dataclass(frozen=True, slots=True, eq=False)
class BagTensors:
    """Weighted codes of one field: row i is `codes[offsets[i]:offsets[i + 1]]`."""

    codes: Tensor
    weights: Tensor
    offsets: Tensor

    def take(self, rows: Tensor) -> "BagTensors":
        """The given rows, in the given order. Shape of `rows`: [n]."""
        starts, lengths = self.offsets[rows], self.offsets[rows + 1] - self.offsets[rows]
        offsets = torch.zeros(len(rows) + 1, dtype=torch.long, device=rows.device)
        torch.cumsum(lengths, 0, out=offsets[1:])
        within = torch.arange(int(offsets[-1]), device=rows.device)
        where = within + torch.repeat_interleave(starts - offsets[:-1], lengths)
        return BagTensors(self.codes[where], self.weights[where], offsets)


@dataclass(frozen=True, slots=True, eq=False)
class PaddedBags:
    """Weighted codes of one field in a table without gaps, for graphs of fixed rank: weight 0 where a row ends.

    Attributes:
        codes: int64. Shape [n, L].
        weights: float32. Shape [n, L].
    """

    codes: Tensor
    weights: Tensor

    def take(self, rows: Tensor) -> "PaddedBags":
        """The given rows, in the given order. Shape of `rows`: [n]."""
        return PaddedBags(self.codes[rows], self.weights[rows])


@dataclass(frozen=True, slots=True, eq=False)
class FeatureTensors:
    """Encoded features of some rows.

    Attributes:
        codes: field name to int64 codes [n], or to weighted bags.
        continuous: float32. Shape [n, F].
    """

    codes: Mapping[str, Tensor | BagTensors | PaddedBags]
    continuous: Tensor

    @classmethod
    def of(cls, table: EncodedTable, device: torch.device) -> "FeatureTensors":
        """Copies a table to a device."""
        codes: dict[str, Tensor | BagTensors] = {}
        for name, values in table.codes.items():
            codes[name] = _bags(values, device) if isinstance(values, Bags) else _long(values, device)
        return cls(codes, torch.as_tensor(table.continuous, dtype=torch.float32, device=device))

    def __len__(self) -> int:
        return len(self.continuous)

    def take(self, rows: Tensor) -> "FeatureTensors":
        """The given rows, in the given order."""
        codes = {n: c[rows] if isinstance(c, Tensor) else c.take(rows) for n, c in self.codes.items()}
        return FeatureTensors(codes, self.continuous[rows])


def _long(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.as_tensor(values.astype(np.int64), device=device)


def _bags(bags: Bags, device: torch.device) -> BagTensors:
    weights = torch.as_tensor(bags.weights, dtype=torch.float32, device=device)
    return BagTensors(_long(bags.codes.values, device), weights, _long(bags.codes.offsets, device))
