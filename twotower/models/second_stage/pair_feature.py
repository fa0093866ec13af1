"""`PairFeature`: the contract of what the second stage is told about a query and a candidate."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from twotower.models.second_stage.columns import ItemColumns
from twotower.models.second_stage.moment import Asked, Moment
from twotower.types import Array, Floats, Ids

Tables = dict[str, Array]
"""Arrays of the catalogue as of a moment, by name."""


class PairFeature(ABC):
    """One family of numbers about a query and a candidate, as of the moment of asking.

    A subclass is a frozen dataclass of options. `tables` looks at the events and the catalogue once for a moment;
    `values` uses what it left, so a request reads neither.
    """

    name: ClassVar[str]

    def tables(self, moment: Moment, columns: ItemColumns) -> Tables:
        """What `values` needs of a moment, beside the columns; nothing that is later enters."""
        return {}

    def opened(self, tables: Tables) -> Any:
        """What `values` is given of `tables`, made once for a moment."""
        return tables

    @abstractmethod
    def names(self, columns: ItemColumns) -> list[str]:
        """What the numbers are called. F of them."""

    @abstractmethod
    def values(self, asked: Asked, items: Ids, columns: ItemColumns, tables: Any) -> Floats:
        """The numbers of candidates; NaN where there is nothing to compare.

        Args:
            asked: the newest events of the queries. B of them.
            items: candidates; padding may get any numbers. Shape [B, C].
            columns: of the catalogue.
            tables: what `opened` made of what `tables` gave.

        Returns:
            Shape [B, C, F].
        """
