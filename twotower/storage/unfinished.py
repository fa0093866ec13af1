"""`Unfinished`: an output folder while it is made: finished files stay over a kill, the folder appears whole or not."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twotower.errors import BadConfig, BundleError
from twotower.storage import atomic
from twotower.storage.manifest import verify
from twotower.storage.ours import SUCCESS as SUCCESS
from twotower.storage.ours import proves, refuse_foreign, remove, strangers
from twotower.storage.whole_file import write_whole, write_whole_json

FORMAT = 1
_PLAN = ".plan.json"


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A hidden folder beside the output, owned by one job at a time.

    Attributes:
        directory: where parts are written.
    """

    directory: Path

    def write(self, name: str, write: Callable[[Path], int]) -> None:
        """Makes one file appear whole, then its facts: rows, size, SHA-256. Workers of all machines may call this.

        Args:
            name: of the file.
            write: writes it to the path that it is given; returns the number of rows.

        Raises:
            BundleError: the file was written in part only.
        """

        def described(beside: Path) -> dict[str, Any]:
            rows = write(beside)
            return {"rows": rows, **atomic.described(beside)}

        facts = write_whole(self.directory / name, described)
        write_whole_json(self._facts_file(name), facts)

    def facts(self, name: str) -> dict[str, Any] | None:
        """Facts of a finished file; None if it is not there or not what was written."""
        file, facts_file = self.directory / name, self._facts_file(name)
        if not file.exists() or not facts_file.exists():
            return None
        facts: dict[str, Any] = json.loads(facts_file.read_text())
        return facts if facts["size"] == file.stat().st_size and facts["sha256"] == atomic.sha256_of(file) else None

    def succeed(self, names: list[str], plan: Mapping[str, Any]) -> None:
        """Writes `_SUCCESS.json`: from now on the folder is whole."""
        files = {name: json.loads(self._facts_file(name).read_text()) for name in names}
        rows = sum(file["rows"] for file in files.values())
        created = datetime.now(UTC).isoformat(timespec="seconds")
        success = {"format": FORMAT, "created": created, "rows": rows, "job": dict(plan), "files": files}
        write_whole_json(self.directory / SUCCESS, {**success, "sha256": atomic.sha256_of_json(success)})

    def _facts_file(self, name: str) -> Path:
        return self.directory / f".{name}.json"


@contextmanager
def output(out: Path, plan: Mapping[str, Any], *, overwrite: bool = False) -> Iterator[Unfinished]:
    """The folder to write into; at the end it is moved to `out`, if everything in it succeeded.

    What a killed job of the same plan finished is still there. That of another plan is removed.

    Args:
        out: where the whole folder shall lie.
        plan: everything that decides what is in it, as JSON.
        overwrite: exchange an `out` that exists, when the new one is whole.

    Raises:
        BadConfig: `out` exists, or holds what no job made, or lies where no folder can be.
        BundleError: another process is making it.
    """
    if os.path.lexists(out) and not overwrite:
        raise BadConfig(
            f"{out} exists; give out=<another folder>, or overwrite=true to exchange it when the new one is whole"
        )
    _refuse_foreign_output(atomic.standing(out))
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic.only_one(out.parent / f".{out.name}.lock", f"writing {out}"):
        work = out.parent / f".{out.name}.unfinished"
        _take_up(work, plan)
        yield Unfinished(work)
        if not (work / SUCCESS).exists():
            raise BundleError(f"{work}: not every part was made; type the command again")
        _tidy(work)
        atomic.sync_tree(work)
        former = atomic.put_in_place(work, out)
        if former is not None:
            remove(former)


def _refuse_foreign_output(out: Path) -> None:
    """Only what a job made is exchanged, and only as long as nobody has laid anything into it.

    Raises:
        BadConfig: it says what lies there.
    """
    remedy = "give out=<another folder>"
    if not proves(out / SUCCESS) or out.is_symlink():
        if os.path.lexists(out) and not (out.is_dir() and not out.is_symlink() and not any(out.iterdir())):
            raise BadConfig(f"{out} is no output of a job (no {SUCCESS}), so it stays as it is; {remedy}")
    elif others := strangers(out):
        raise BadConfig(f"{out} holds {others[0]}, which no job wrote, so it stays as it is; {remedy}")


@contextmanager
def workshop(directory: Path, plan: Mapping[str, Any]) -> Iterator[Unfinished]:
    """As `output`, for files that something else is made of: the folder goes when the block ends well."""
    with atomic.only_one(directory.with_name(f"{directory.name}.lock"), f"working in {directory}"):
        _take_up(directory, plan)
        yield Unfinished(directory)
        remove(directory)


def read_success(out: Path) -> dict[str, Any]:
    """What a finished output holds, after every file was compared with its digest.

    Raises:
        BundleError: it is not finished, or a file is not what was written.
    """
    path = out / SUCCESS
    if not path.exists():
        raise BundleError(f"{out} is no finished output of a batch job (no {SUCCESS}); run the job first")
    success: dict[str, Any] = json.loads(path.read_text())
    if success.pop("sha256", None) != atomic.sha256_of_json(success):
        raise BundleError(f"{path} is damaged; make {out} again")
    verify(out, success)
    return success


def _take_up(work: Path, plan: Mapping[str, Any]) -> None:
    """Keeps the folder of a killed job of the same plan, else begins an empty one."""
    refuse_foreign(work, "give out=<another folder>")
    if _plan_of(work) == json.loads(json.dumps(plan)):
        return
    remove(work)
    work.mkdir(parents=True)
    write_whole_json(work / _PLAN, plan)


def _plan_of(work: Path) -> Any:
    """The plan of the job that a folder is left from; None where it cannot be told."""
    try:
        if (work / SUCCESS).exists():
            return json.loads((work / SUCCESS).read_text())["job"]
        return json.loads((work / _PLAN).read_text())
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _tidy(work: Path) -> None:
    """Removes what only the making needed."""
    listed = {SUCCESS, *json.loads((work / SUCCESS).read_text())["files"]}
    for path in work.iterdir():
        if path.name not in listed:
            path.unlink()
