"""What every model refuses to be asked: anything but queries of internal ids within its catalogue."""

from twotower.errors import BadInput
from twotower.types import Queries, Ragged


def check_queries(queries: object, model: str, n_items: int) -> None:
    """Refuses what a model of that name and that many items cannot read.

    Raises:
        BadInput: these are no queries, or they name items beyond the catalogue.
    """
    if not isinstance(queries, Queries):
        raise BadInput(
            f"{model} answers Queries of internal ids, not {type(queries).__name__}; what fit(dataset) returns answers "
            "in your own ids"
        )
    refuse_foreign_items(queries.histories, n_items, "history")
    refuse_foreign_items(queries.exclusions, n_items, "exclusion")


def refuse_foreign_items(items: Ragged, n_items: int, what: str) -> None:
    """Refuses ids beyond the catalogue; negative ones stand for items that nobody knows and may pass."""
    foreign = items.values >= n_items
    if foreign.any():
        first = int(foreign.argmax())
        raise BadInput(
            f"{what} of query {items.row_ids()[first]} names item {items.values[first]}, but the model knows items "
            f"0..{n_items - 1}; give NO_ITEM (-1) for an unknown item, or fit again on the grown catalogue"
        )
