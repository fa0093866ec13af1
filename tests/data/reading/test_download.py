"""Archives come from a server on the loopback: resumed, verified, unpacked safely, placed whole or not at all."""

import hashlib
import io
import stat
import threading
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from twotower.data.reading.download import Archive, fetch
from twotower.errors import BadInput, MissingData


def zipped(files, links=()) -> bytes:
    """A zip archive of name -> content."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            if name in links:
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, content)
    return buffer.getvalue()


NOISE = np.random.default_rng(0).bytes(3_000_000)  # does not compress: the archive is longer than one chunk
FILES = {"toy/ratings.csv": b"userId,movieId\n1,2\n", "toy/big.bin": NOISE}


@dataclass
class Publisher:
    """What the server gives, how it misbehaves, and what was asked of it."""

    files: dict[str, bytes] = field(default_factory=dict)
    break_off_after: list[int] = field(default_factory=list)
    ranges: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def publisher():
    """A running server with ranges, interruptions and a log of requests."""
    state = Publisher()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            wanted = self.headers.get("Range")
            state.asked.append((self.path, wanted))
            body = state.files.get(self.path)
            if body is None:
                return self.send_error(404)
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and state.ranges else 0
            if start >= len(body):
                return self.send_error(416)
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            stop = start + state.break_off_after.pop(0) if state.break_off_after else len(body)
            self.wfile.write(body[start:stop])
            return None

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    server.server_close()


@pytest.fixture
def offer(publisher):
    """Puts an archive on the server and describes it."""

    def put(body=None, *, max_bytes=10 << 20, md5="right", folder="toy"):
        body = zipped(FILES) if body is None else body
        publisher.files["/toy.zip"] = body
        digest = hashlib.md5(body).hexdigest()
        publisher.files["/toy.zip.md5"] = f"MD5 (toy.zip) = {digest}\n".encode()
        return Archive(f"{publisher.url}/toy.zip", folder, max_bytes, digest if md5 == "right" else md5)

    return put


def contents(folder):
    return {f"{folder.name}/{path.name}": path.read_bytes() for path in folder.iterdir()}


def test_an_archive_is_fetched_unpacked_and_leaves_nothing_else(offer, tmp_path):
    folder = fetch(offer(), tmp_path)
    assert contents(folder) == FILES
    assert sorted(p.name for p in tmp_path.iterdir()) == [".partial", "toy"]
    assert not list((tmp_path / ".partial").iterdir())


def test_a_folder_that_is_there_is_used_without_any_request(offer, publisher, tmp_path):
    (tmp_path / "toy").mkdir()
    assert fetch(offer(), tmp_path) == tmp_path / "toy"
    assert publisher.asked == []


def test_a_download_that_breaks_off_goes_on_where_it_broke(offer, publisher, tmp_path):
    publisher.break_off_after = [1_000_000, 500_000]
    assert contents(fetch(offer(), tmp_path)) == FILES
    starts = [wanted for path, wanted in publisher.asked if path == "/toy.zip"]
    assert starts == [None, "bytes=1000000-", "bytes=1500000-"]


def test_a_later_call_goes_on_from_what_an_earlier_one_left(offer, publisher, tmp_path):
    publisher.break_off_after = [1_000_000, 100_000, 100_000]
    with pytest.raises(MissingData, match="ended early"):
        fetch(offer(), tmp_path)
    assert (tmp_path / ".partial" / "toy.zip").stat().st_size == 1_200_000
    publisher.asked.clear()
    assert contents(fetch(offer(), tmp_path)) == FILES
    assert publisher.asked[0] == ("/toy.zip", "bytes=1200000-")


def test_a_server_without_ranges_starts_over(offer, publisher, tmp_path):
    publisher.ranges = False
    publisher.break_off_after = [1_000_000]
    assert contents(fetch(offer(), tmp_path)) == FILES


def test_a_whole_partial_file_is_not_fetched_again(offer, publisher, tmp_path):
    archive = offer()
    (tmp_path / ".partial").mkdir()
    (tmp_path / ".partial" / "toy.zip").write_bytes(publisher.files["/toy.zip"])
    assert contents(fetch(archive, tmp_path)) == FILES


def test_without_a_known_digest_the_publishers_is_read(offer, publisher, tmp_path):
    assert contents(fetch(offer(md5=None), tmp_path)) == FILES
    assert ("/toy.zip.md5", None) in publisher.asked


def test_a_wrong_digest_is_refused_and_the_download_deleted(offer, publisher, tmp_path):
    wrong = "0" * 32
    with pytest.raises(BadInput, match=f"publisher states {wrong}; it was deleted, run again"):
        fetch(offer(md5=wrong), tmp_path)
    assert not (tmp_path / "toy").exists()
    assert not (tmp_path / ".partial" / "toy.zip").exists()


def test_a_digest_page_without_a_digest_is_refused(offer, publisher, tmp_path):
    archive = offer(md5=None)
    publisher.files["/toy.zip.md5"] = b"<html>not found</html>"
    with pytest.raises(BadInput, match="holds no MD5 digest"):
        fetch(archive, tmp_path)


def test_a_download_larger_than_expected_is_refused_before_it_starts(offer, publisher, tmp_path):
    with pytest.raises(BadInput, match="expected at most 1,000"):
        fetch(offer(max_bytes=1000), tmp_path)
    assert not (tmp_path / ".partial" / "toy.zip").exists()


@pytest.mark.parametrize("name", ["../evil.txt", "/tmp/evil.txt", "toy/../../evil.txt", "C:/evil.txt", "..\\evil.txt"])
def test_a_member_that_would_leave_the_folder_is_refused(offer, tmp_path, name):
    root = tmp_path / "root"
    with pytest.raises(BadInput, match="would be written outside its folder"):
        fetch(offer(zipped({**FILES, name: b"x"})), root)
    assert not (root / "toy").exists()
    assert not (tmp_path / "evil.txt").exists()


def test_a_link_in_an_archive_is_refused(offer, tmp_path):
    with pytest.raises(BadInput, match="would be written outside"):
        fetch(offer(zipped({"toy/a": b"/etc/passwd"}, links=("toy/a",))), tmp_path)


def test_an_archive_that_unpacks_to_far_too_much_is_refused(offer, tmp_path):
    body = zipped({"toy/zeros": bytes(3_000_000)})  # 3 MB of zeros pack into a few kB
    with pytest.raises(BadInput, match="unpacks to 3,000,000 bytes"):
        fetch(offer(body, max_bytes=len(body)), tmp_path)


def test_an_archive_without_a_folder_of_its_own_gets_one(offer, tmp_path):
    folder = fetch(offer(zipped({"a.dat": b"1", "b.dat": b"2"})), tmp_path)
    assert contents(folder) == {"toy/a.dat": b"1", "toy/b.dat": b"2"}


def test_a_file_that_is_no_archive_is_refused(offer, tmp_path):
    with pytest.raises(BadInput, match="not a whole zip file"):
        fetch(offer(b"<html>moved</html>"), tmp_path)
    assert not (tmp_path / "toy").exists()


def test_offline_the_text_says_what_to_fetch_and_where_to_put_it(tmp_path):
    archive = Archive("http://127.0.0.1:9/ml-1m.zip", "ml-1m", 1000, "0" * 32)  # the discard port: refused at once
    with pytest.raises(MissingData) as error:
        fetch(archive, tmp_path)
    for part in ("fetch http://127.0.0.1:9/ml-1m.zip", f"put its files into {tmp_path / 'ml-1m'}", "TWOTOWER_DATA"):
        assert part in str(error.value)


def test_an_absent_archive_is_asked_for_once(publisher, tmp_path):
    with pytest.raises(MissingData, match="404"):
        fetch(Archive(f"{publisher.url}/gone.zip", "gone", 1000, "0" * 32), tmp_path)
    assert len(publisher.asked) == 1


def test_only_web_addresses_are_fetched(tmp_path):
    with pytest.raises(BadInput, match="only http and https"):
        fetch(Archive("file:///etc/passwd", "toy", 1000, "0" * 32), tmp_path)
