"""`IdMap`: the only place where the caller's ids become row numbers and back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from twotower.data.plain_ids import plain_id, whole_number
from twotower.errors import BadInput, UnknownId
from twotower.types import Array, Ids


@dataclass(frozen=True, slots=True, eq=False)
class IdMap:
    """External ids (any string or int) to internal ids (0..n-1) and back.

    Attributes:
        external: distinct external ids; the position is the internal id. dtype int64 or object (str). Shape [n].
        what: "user" or "item", for messages.
    """

    external: Array
    what: str
    _index: pd.Index

    def __repr__(self) -> str:
        shown = ", ".join(map(str, self.external[:3])) + (", …" if len(self.external) > 3 else "")
        return f"<IdMap: {len(self.external):,} {self.what} ids: {shown:.80}>"

    @classmethod
    def of(cls, external: Iterable[Any], what: str) -> Self:
        """Numbers the ids in the given order, in their plain form (`plain_id`); 42.0 becomes the int 42.

        Raises:
            BadInput: an id stands twice, is missing or is a number with a fraction.
        """
        raw = pd.Index(external if isinstance(external, np.ndarray) else list(external))
        if raw.hasnans:
            raise BadInput(f"{what} id at position {int(raw.isna().argmax())} is missing; give every {what} an id")
        values = _as_ids(raw, what)
        index = pd.Index(values)
        if not index.is_unique:
            twice = index[index.duplicated()].tolist()[0]
            raise BadInput(f"{what} id {twice!r} stands twice; keep one row per {what}")
        return cls(values, what, index)

    def __len__(self) -> int:
        return len(self.external)

    def __contains__(self, external: object) -> bool:
        return self._cast(external) in self._index

    def to_internal(self, external: Iterable[Any], *, unknown: int | None = None) -> Ids:
        """Internal ids of the given external ids, by their plain form: "42", " 42" and 42.0 find the int id 42.

        Args:
            external: external ids. Shape [n].
            unknown: stands for an id that is not in the map; None refuses such an id.

        Raises:
            UnknownId: an id is not in the map and `unknown` is None.
        """
        comparable = self._comparable(external)
        rows = self._index.get_indexer(pd.Index(comparable)).astype(np.int64)
        if unknown is None and (rows < 0).any():
            bad = np.asarray(comparable, dtype=object)[int((rows < 0).argmax())]
            raise UnknownId(
                f"{self.what} {bad!r} is not in the data set ({len(self)} {self.what}s, e.g. {self._some()})"
            )
        return np.where(rows < 0, -1 if unknown is None else unknown, rows)

    def to_external(self, internal: Array) -> Array:
        """External ids of internal ids 0..n-1.

        Raises:
            UnknownId: a number is outside 0..n-1, e.g. `NO_ITEM`, which pads short lists.
        """
        internal = np.asarray(internal)
        if internal.size and (internal.min() < 0 or internal.max() >= len(self)):
            bad = internal[(internal < 0) | (internal >= len(self))].flat[0]
            raise UnknownId(f"no {self.what} has the internal id {bad} (0..{len(self) - 1}); drop padding first")
        return self.external[internal]

    def _comparable(self, external: Iterable[Any]) -> Sequence[Any] | Array:
        """The wanted ids in the type of the known ones, so that they can be looked up."""
        if isinstance(external, np.ndarray) and external.dtype.kind in "iu":
            return external if self.external.dtype.kind in "iu" else external.astype(str).astype(object)
        # an object array: pandas would make floats of whole numbers above 2^63 among smaller ones, and merge them
        return as_objects([self._cast(e) for e in external])

    def _some(self) -> str:
        return ", ".join(str(e) for e in self.external[:3])

    def _cast(self, external: object) -> object:
        text = plain_id(external)
        if self.external.dtype.kind not in "iu":
            return text
        number = whole_number(text)
        return text if number is None else number

    def save(self, path: Path) -> None:
        """One Parquet column."""
        pd.DataFrame({"external": pd.Series(self.external)}).to_parquet(path)

    @classmethod
    def load(cls, path: Path, what: str) -> Self:
        """Reads what `save` wrote."""
        column = pd.read_parquet(path)["external"]
        return cls.of(column.to_numpy() if column.dtype.kind in "iu" else column.to_numpy(dtype=object), what)


def as_objects(values: Sequence[Any]) -> Array:
    """The values as they are in a one-dimensional array."""
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def _as_ids(raw: "pd.Index[Any]", what: str) -> Array:
    """Whole numbers as int64, everything else as text."""
    if raw.dtype.kind in "iu":
        return raw.to_numpy(dtype=np.int64)
    if raw.dtype.kind == "f":
        numbers = raw.to_numpy()
        if (numbers % 1 != 0).any():
            raise BadInput(
                f"{what} id {numbers[(numbers % 1 != 0).argmax()]} has a fraction; ids are text or whole numbers"
            )
        return numbers.astype(np.int64)
    values = as_objects([plain_id(value) for value in raw])
    if (values == "").any():
        raise BadInput(f"{what} id at position {int((values == '').argmax())} is missing; give every {what} an id")
    return values
