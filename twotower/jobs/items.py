"""`EmbedItems`: the work of embedding a catalogue: item features in, ids and unit vectors out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from twotower.data.arrow_rows import table_of_rows
from twotower.data.ids import IdMap
from twotower.data.schema import FeatureSchema
from twotower.data.table_files import weights_name
from twotower.errors import BundleError
from twotower.jobs.parts import Step, looked_up
from twotower.runs.bundle import Bundle
from twotower.storage.unfinished import Unfinished
from twotower.types import NO_ITEM

if TYPE_CHECKING:
    from twotower.models.two_tower.encoder import TowerEncoder

VECTORS = "vectors.npy"


@dataclass(frozen=True, slots=True)
class EmbedItems:
    """Rows of item features to `item` (external id) and `vector` (float32 [D], length 1).

    Attributes:
        run: directory of the run whose ItemNet is used.
        model: digest of its model.
        id_column: column of external ids; None: row i is the run's item i.
    """

    run: str
    model: str
    id_column: str | None

    def facts(self) -> dict[str, Any]:
        """The model and how items are named."""
        return {"job": "embed_items", "model": self.model, "id_column": self.id_column}

    def open(self) -> Step:
        """Loads the run."""
        bundle = opened(self.run, self.model)
        item_ids = IdMap.load(bundle.directory / "item_ids.parquet", "item")
        encoder = item_encoder(bundle)
        schema = read_schema(bundle, encoder.item_columns)

        def embed(rows: pa.Table, first: int) -> pa.Table:
            if self.id_column is None:
                known = np.arange(first, first + len(rows))
                ids = pa.array(item_ids.external[known])
            else:
                ids, known = looked_up(rows[self.id_column], item_ids, NO_ITEM, first)
            vectors = encoder.embed(table_of_rows(rows, schema), known)
            return pa.table({"item": ids, "vector": _rows_of(vectors)})

        return embed


def opened(run: str, model: str) -> Bundle:
    """The run of a job, in a worker.

    Raises:
        BundleError: another one was published at its place since the job began.
    """
    bundle = Bundle.open(Path(run))
    if bundle.model_digest != model:
        raise BundleError(f"run {bundle.name!r} was exchanged while the job was running; type the command again")
    return bundle


def item_encoder(bundle: Bundle) -> "TowerEncoder":
    """What makes vectors of item features.

    Raises:
        BundleError: the run's model has no ItemNet.
    """
    from twotower.models.two_tower.estimator import TwoTower  # loads torch, which no help text needs

    model = bundle.model()
    if not isinstance(model, TwoTower):
        raise BundleError(
            f"run {bundle.name!r} is of {type(model).__name__}, which makes no vectors of item features; "
            "embed items with a run of model=two_tower"
        )
    return model.encoder


def item_columns(bundle: Bundle) -> tuple[str, ...]:
    """Parquet columns that the towers of a run read of an item."""
    stored = pq.read_schema(bundle.directory / "catalogue.parquet")
    schema = FeatureSchema.from_json(stored.metadata[b"columns"].decode())
    read = item_encoder(bundle).item_columns
    weights = {weights_name(name, schema.names) for name in read}
    return tuple(name for name in stored.names if name in read or name in weights)


def read_schema(bundle: Bundle, names: Sequence[str]) -> FeatureSchema:
    """Kinds and limits of some columns of a run's catalogue, without reading its rows."""
    stored = pq.read_schema(bundle.directory / "catalogue.parquet").metadata[b"columns"].decode()
    return FeatureSchema(tuple(column for column in FeatureSchema.from_json(stored).columns if column.name in names))


def write_matrix(folder: Unfinished, parts: Sequence[str]) -> list[str]:
    """`vectors.npy` [N, D] of all parts, row by row in their order, without holding more than a batch."""

    def write(path: Path) -> int:
        files = [folder.directory / part for part in parts]
        counts = [pq.read_metadata(file).num_rows for file in files]
        dim = pq.read_schema(files[0]).field("vector").type.list_size
        matrix = np.lib.format.open_memmap(path, "w+", np.float32, (sum(counts), dim))
        at = 0
        for file in files:
            for batch in pq.ParquetFile(file).iter_batches(columns=["vector"], use_threads=False):
                rows = batch.column(0).flatten().to_numpy().reshape(-1, dim)
                matrix[at : at + len(rows)] = rows
                at += len(rows)
        matrix.flush()
        return 0  # rows are counted in the parts

    folder.write(VECTORS, write)
    return [VECTORS]


def _rows_of(vectors: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
