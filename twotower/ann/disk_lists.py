"""Inverted lists in a file of their own, so that an index larger than memory can be merged, saved and searched."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faiss

LISTS = "lists.ivfdata"


def write_native(native: Any, path: Path) -> None:
    """Writes a faiss index, not by faiss's own writer, which stays silent when a full disk cuts the end off."""
    with path.open("wb") as file:
        faiss.write_index(native, faiss.PyCallbackIOWriter(file.write))


def merge_on_disk(native: Any, shards: Sequence[Path], lists: Path) -> None:
    """Gives a trained, empty faiss index the lists of all shards, one after the other, in the file `lists`.

    No list is in memory: shards are mapped, and so is the file. Shards must hold the ids of the whole catalogue:
    faiss could shift them (`shift_ids`), but gives wrong ones where shards are of different sizes.

    Args:
        native: trained index with inverted lists; the shards were filled from copies of it.
        shards: files of them.
        lists: file to make.
    """
    from faiss.contrib.ondisk import merge_ondisk

    merge_ondisk(native, [str(shard) for shard in shards], str(lists))


def save_disk_lists(native: Any, directory: Path) -> None:
    """Copies lists that lie in a file into a directory, if they do; the index itself holds the size of each."""
    lists = _disk_lists(native)
    if lists is not None:
        shutil.copyfile(lists.filename, directory / LISTS)


def read_native(path: Path, *, memory_map: bool) -> Any:
    """Opens a faiss index; lists in a file beside it are mapped, and their pages are read when needed."""
    beside = path.with_name(LISTS)
    if not beside.exists():
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC if memory_map else 0)
    native = faiss.read_index(str(path), faiss.IO_FLAG_SKIP_IVF_DATA)  # else it looks where the file lay when written
    lists = _disk_lists(native)
    lists.filename, lists.read_only = str(beside), True
    lists.do_mmap()
    return native


def _disk_lists(native: Any) -> Any:
    ivf = faiss.try_extract_index_ivf(native)
    lists = None if ivf is None else faiss.downcast_InvertedLists(ivf.invlists)
    return lists if isinstance(lists, faiss.OnDiskInvertedLists) else None
