"""Index shards: ranges of one catalogue put into copies of one trained index, and merged into one again."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from twotower.ann.disk_lists import merge_on_disk, write_native
from twotower.ann.faiss_factory import FaissIndex, add_in_blocks
from twotower.ann.vectors import checked_catalogue, is_unit
from twotower.errors import BadConfig
from twotower.types import Floats

MERGES = ("memory", "disk")
_FAST_SCAN = "x4fs"


def check_mergeable(index: FaissIndex, merge: str) -> None:
    """Refuses what cannot be built in shards, before hours are spent on it.

    Raises:
        BadConfig: the index has no inverted lists, or lists that cannot be merged in that way.
    """
    if merge not in MERGES:
        raise BadConfig(f"merge {merge!r}: choose one of {', '.join(MERGES)}")
    if "IVF" not in index.factory or "HNSW" in index.factory:
        raise BadConfig(f"factory {index.factory!r}: shards need inverted lists, such as 'IVF{{cells}},SQfp16'")
    if merge == "disk" and _FAST_SCAN in index.factory:
        raise BadConfig(
            f"factory {index.factory!r}: lists of 4-bit codes cannot be merged on disk; take merge=memory, "
            "which needs the size of the index, or a factory such as 'IVF{cells},SQfp16'"
        )


def train_shared(index: FaissIndex, vectors: Floats, path: Path) -> None:
    """Learns cells and codes from a sample of the whole catalogue [N, D] and writes the empty index.

    Raises:
        BadConfig: cosine, but the vectors have other lengths than 1.
    """
    if index.metric == "cosine" and not is_unit(vectors):
        raise BadConfig("metric cosine: shards need vectors of length 1; normalise them, or take inner_product")
    write_native(index.train(checked_catalogue(vectors)), path)


def fill_shard(trained: Path, vectors: Floats, rows: slice, path: Path) -> None:
    """Puts rows of the catalogue [N, D] into a copy of the trained index, under their own row numbers."""
    native = faiss.read_index(str(trained))
    add_in_blocks(native, vectors, rows)
    write_native(native, path)


def merged(trained: Path, shards: Sequence[Path], *, merge: str, lists: Path) -> Any:
    """One faiss index of all shards: what adding everything to one would give.

    Args:
        trained: the empty index that they were filled from.
        shards: their files, in the order of the catalogue.
        merge: `memory` holds the merged index and one shard; `disk` holds neither.
        lists: file that `disk` makes; it must stay as long as the index is used.
    """
    native = faiss.read_index(str(trained))
    if merge == "disk":
        merge_on_disk(native, shards, lists)
        return native
    whole = faiss.extract_index_ivf(native)
    for shard in shards:
        part = faiss.read_index(str(shard))
        whole.merge_from(faiss.extract_index_ivf(part), 0)
    native.ntotal = whole.ntotal
    _clear_padding(whole)
    return native


def _clear_padding(ivf: Any) -> None:
    """Zeros what is beyond the end of lists that are kept in blocks; merging leaves there whatever the memory held.

    Nothing ever reads it, but the same catalogue and seed shall give the same bytes.
    """
    lists = faiss.downcast_InvertedLists(ivf.invlists)
    if not isinstance(lists, faiss.BlockInvertedLists):
        return
    nothing = np.zeros(lists.packer.code_size, np.uint8)
    for number in range(lists.nlist):
        count = lists.list_size(number)
        if not count:
            continue
        n_blocks = -(-count // lists.n_per_block)
        codes = faiss.rev_swig_ptr(lists.get_codes(number), n_blocks * lists.block_size).reshape(n_blocks, -1)
        for place in range(count, n_blocks * lists.n_per_block):
            lists.packer.pack_1(nothing, place, codes)


def ranges(count: int, rows: int) -> Iterator[slice]:
    """Consecutive ranges of up to `rows` of `count` vectors."""
    return (slice(start, min(count, start + rows)) for start in range(0, count, rows))
