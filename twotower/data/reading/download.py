"""Fetches a publisher's archive: size limit, resume, checksum, safe unzip, and atomic placing in the data folder."""

import hashlib
import re
import shutil
import stat
import tempfile
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from tqdm import tqdm

from twotower.errors import BadInput, MissingData

CHUNK = 1 << 18
TIMEOUT_S = 30
ATTEMPTS = 3
"""Tries per download; each goes on where the last one broke off."""
LIKE_ZIP_BOMB = 40
"""An archive that grows by more than this factor is refused."""


@dataclass(frozen=True, slots=True)
class Archive:
    """A zip file of a publisher.

    Attributes:
        url: where it is, http or https.
        folder: name of the folder in the data folder that its files go to.
        max_bytes: larger downloads are refused.
        md5: digest of the zip; None reads it from `url + ".md5"`, where the publisher keeps it.
    """

    url: str
    folder: str
    max_bytes: int
    md5: str | None = None


def fetch(archive: Archive, root: Path) -> Path:
    """The folder of an archive's files under `root`: the local one if it is there, else downloaded.

    A download that breaks off leaves `<root>/.partial/<name>.zip`; the next call goes on from there.

    Raises:
        MissingData: the folder is absent and the publisher cannot be reached or `root` cannot be written.
        BadInput: the download has another digest than the publisher states, is too large, or is unsafe to unpack.
    """
    folder = root / archive.folder
    if folder.is_dir():
        return folder
    part = root / ".partial" / archive.url.rsplit("/", 1)[-1]
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        _download(archive, part)
        _check_digest(archive, part)
        _unzip(part, folder, archive.max_bytes * LIKE_ZIP_BOMB)
    except (OSError, HTTPException) as error:
        raise MissingData(
            f"{folder} is absent and could not be fetched ({error}); fetch {archive.url}, unpack it, and put its files "
            f"into {folder}, or name the folder that holds {archive.folder}/ with TWOTOWER_DATA"
        ) from error
    part.unlink()
    return folder


def _download(archive: Archive, part: Path) -> None:
    """Fills `part`, going on from what is already there."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            if _download_rest(archive, part):
                return
            problem: Exception = ConnectionError("the connection ended early")
        except (OSError, HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                raise
            problem = error
        if attempt == ATTEMPTS:
            raise problem


def _download_rest(archive: Archive, part: Path) -> bool:
    """One request for the bytes still missing; whether all have come."""
    have = part.stat().st_size if part.exists() else 0
    try:
        response = _get(archive.url, have)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing lies behind what we have: it is whole
            return True
        raise
    with response:
        if response.status != 206:  # the server starts over
            have = 0
        total = have + int(response.headers.get("Content-Length", 0))
        if total > archive.max_bytes:
            raise BadInput(
                f"{archive.url} has {total:,} bytes, expected at most {archive.max_bytes:,}; check the address"
            )
        with part.open("ab" if have else "wb") as out:
            got = have + _copy(response, out, archive, have, total)
    return got >= total


def _copy(response: HTTPResponse, out: BinaryIO, archive: Archive, have: int, total: int) -> int:
    """Bytes written; never more than the archive may have."""
    written = 0
    with tqdm(total=total or None, initial=have, unit="B", unit_scale=True, desc=archive.folder) as bar:
        while chunk := response.read(CHUNK):
            written += out.write(chunk)
            bar.update(len(chunk))
            if have + written > archive.max_bytes:
                raise BadInput(f"{archive.url} sends more than {archive.max_bytes:,} bytes; check the address")
    return written


def _get(url: str, start: int = 0) -> HTTPResponse:
    if not url.startswith(("https://", "http://")):
        raise BadInput(f"{url}: only http and https addresses are fetched")
    headers = {"User-Agent": "twotower", **({"Range": f"bytes={start}-"} if start else {})}
    response: HTTPResponse = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S)
    return response


def _check_digest(archive: Archive, part: Path) -> None:
    """Deletes a download whose digest is not the publisher's."""
    published = archive.md5 or _published_md5(archive.url)
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if digest != published:
        part.unlink()
        raise BadInput(
            f"{archive.url}: the download has MD5 {digest}, its publisher states {published}; it was deleted, run again"
        )


def _published_md5(url: str) -> str:
    with _get(url + ".md5") as response:
        text = response.read(1000).decode("ascii", errors="replace")
    match = re.search(r"\b[0-9a-f]{32}\b", text)
    if match is None:
        raise BadInput(f"{url}.md5 holds no MD5 digest; fetch the archive by hand")
    return match.group()


def _unzip(zip_path: Path, folder: Path, max_bytes: int) -> None:
    """Unpacks beside the final place, then renames: the folder is whole or absent."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as beside:
        try:
            with zipfile.ZipFile(zip_path) as archive:
                _refuse_unsafe(archive, zip_path, max_bytes)
                archive.extractall(beside)
        except zipfile.BadZipFile as error:
            raise BadInput(f"{zip_path}: not a whole zip file ({error}); move it away and run again") from error
        inner = Path(beside) / folder.name
        (inner if inner.is_dir() else _into_folder(Path(beside))).replace(folder)


def _into_folder(beside: Path) -> Path:
    """Moves the files of an archive without a folder of its own into one."""
    files = list(beside.iterdir())
    inner = beside / ".files"
    inner.mkdir()
    for file in files:
        shutil.move(file, inner)
    return inner


def _refuse_unsafe(archive: zipfile.ZipFile, path: Path, max_bytes: int) -> None:
    """No member may leave the folder, be a link, or make the whole larger than `max_bytes`."""
    for member in archive.infolist():
        name = PurePosixPath(member.filename.replace("\\", "/"))
        is_link = stat.S_ISLNK(member.external_attr >> 16)
        drive = any(":" in part for part in name.parts[:1])
        if name.is_absolute() or ".." in name.parts or drive or is_link:
            raise BadInput(f"{path}: member {member.filename!r} would be written outside its folder; do not use it")
    size = sum(member.file_size for member in archive.infolist())
    if size > max_bytes:
        raise BadInput(f"{path}: unpacks to {size:,} bytes, expected at most {max_bytes:,}; do not use it")
