"""`BadRows`: what happens to damaged rows: the file is refused, or they are dropped, counted and written aside."""

import csv
import json
import logging
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import pyarrow as pa

from twotower.errors import BadConfig, BadInput
from twotower.types import Ids

OnBadRows = Literal["raise", "drop"]

log = logging.getLogger(__name__)

MOST_DROPPED = 0.5
"""Larger shares of a file are never dropped: that is a wrong option or a wrong file, not a few damaged rows."""


class BadRows:
    """Collects the rows that the checks of one load refuse; a context manager that writes the side files at the end.

    Attributes:
        policy: "raise" refuses a file at its first bad row, "drop" goes on without the bad rows.
        directory: where `<file name>.dropped.csv` goes: row, reason and content of every dropped row.
        counts: dropped rows by file.
    """

    def __init__(self, policy: OnBadRows = "raise", directory: Path | str = "data-cache/dropped") -> None:
        if policy not in ("raise", "drop"):
            raise BadConfig(f"on_bad_rows={policy!r}: choose raise or drop")
        self.policy = policy
        self.directory = Path(directory)
        self.counts: dict[Path, int] = {}
        self._dropped: dict[Path, list[tuple[int, str, str]]] = {}

    def add(self, path: Path, rows: Ids, reasons: list[str], remedy: str, content: pa.Table, n_rows: int) -> None:
        """Refuses rows of a file.

        Args:
            path: the file.
            rows: row numbers in the file, 1 for the first row after the header. Shape [n].
            reasons: what is wrong with each row. n texts.
            remedy: what the owner of the file can do.
            content: the rows as read. n rows.
            n_rows: rows of the whole file.

        Raises:
            BadInput: the policy is "raise", or more than half of the file would be dropped.
        """
        if not len(rows):
            return
        first = f"{path}: row {rows[0]}: {reasons[0]}"
        more = f" (and {len(rows) - 1:,} more such rows)" if len(rows) > 1 else ""
        if self.policy == "raise":
            raise BadInput(f"{first}{more}; {remedy}, or drop such rows with on_bad_rows=drop")
        self.counts[path] = self.counts.get(path, 0) + len(rows)
        if self.counts[path] > MOST_DROPPED * n_rows:
            share = f"{self.counts[path]:,} of {n_rows:,} rows"
            raise BadInput(f"{first}{more}; {remedy}; on_bad_rows=drop does not drop {share}, more than half of a file")
        texts = [json.dumps(record, default=str, ensure_ascii=False) for record in content.to_pylist()]
        self._dropped.setdefault(path, []).extend(zip(rows.tolist(), reasons, texts, strict=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for path, records in self._dropped.items():
            side = self._write(path, sorted(records))
            log.warning("%s: bad rows dropped: %s; they and the reasons are in %s", path, f"{len(records):,}", side)

    def _write(self, path: Path, records: list[tuple[int, str, str]]) -> Path:
        self.directory.mkdir(parents=True, exist_ok=True)
        side = self.directory / f"{path.name}.dropped.csv"
        with side.open("w", newline="", encoding="utf-8") as out:
            writer = csv.writer(out)
            writer.writerow(("row", "reason", "content"))
            writer.writerows(records)
        return side
