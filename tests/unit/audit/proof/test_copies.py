"""Copies of checkpoints: the same test for each kind of place, with a real server; what fails; how they are read again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from guardproxy.audit.proof.copies import Copies, Header, read_copies
from guardproxy.audit.proof.note import SignedNote, sign
from guardproxy.audit.proof.store import CheckpointStore
from guardproxy.audit.proof.verification import verify_checkpoints
from guardproxy.errors import AuditError, ConfigError
from tests.kit.buckets import objects_in, s3_bucket
from tests.kit.proof import KEY

NOTE = sign("a\n1\nx\n", KEY)
SECRET = "Bearer made-up-secret"


class Receiver(BaseHTTPRequestHandler):
    """Keeps the bodies of POSTs. A path of digits is the status that it answers; `/junk` gets no HTTP."""

    got: list[bytes] = []  # noqa: RUF012 - of the test below
    headers_got: list[dict[str, str]] = []  # noqa: RUF012

    def do_POST(self) -> None:
        self.got.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.headers_got.append(dict(self.headers))
        if self.path == "/junk":
            self.wfile.write(b"junk\r\n\r\n")
            return
        self.send_response(int(self.path[1:4]))
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def do_GET(self) -> None:
        self.got.append(b"a redirection was followed")
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def http_server() -> Iterator[str]:
    Receiver.got, Receiver.headers_got = [], []
    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def url() -> Iterator[str]:
    with http_server() as url:
        yield url


Received = Callable[[Path], object]
"""Writes what a place got into a folder, as somebody would who fetches it for an audit."""
Place = AbstractContextManager[tuple[str, Received]]


@contextmanager
def to_stdout(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[tuple[str, Received]]:
    with (folder / "output").open("w") as stream:
        patch.setattr("sys.stdout", stream)
        yield "stdout", lambda into: (folder / "output").rename(into / "log")


@contextmanager
def to_file(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[tuple[str, Received]]:
    yield str(folder / "copies"), lambda into: (folder / "copies").rename(into / "log")


@contextmanager
def to_http(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[tuple[str, Received]]:
    def fetch(into: Path) -> None:
        for number, body in enumerate(Receiver.got):
            (into / f"{number}.note").write_bytes(body)

    with http_server() as url:
        yield f"{url}/204", fetch


@contextmanager
def to_folder(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[tuple[str, Received]]:
    store = folder / "store"
    store.mkdir()
    yield store.as_uri(), lambda into: store.rename(into / "store")


@contextmanager
def to_s3(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[tuple[str, Received]]:
    def fetch(into: Path) -> None:
        for number, (name, data) in enumerate(objects_in("s3://kept/logs/one").items()):
            assert name.endswith(f"/{number + 1:012}.checkpoint")
            (into / f"{number}.note").write_bytes(data)

    with s3_bucket(patch):
        yield "s3://kept/logs/one", fetch


@pytest.mark.parametrize("place", [to_stdout, to_file, to_http, to_folder, to_s3])
def test_every_place_gets_every_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Callable[[Path, pytest.MonkeyPatch], Place]
) -> None:
    """What was copied shows that the folder was rolled back."""
    store = CheckpointStore(tmp_path / "audit", KEY)
    with place(tmp_path, monkeypatch) as (target, received):
        copies = Copies.open([target])
        notes = [store.write([], float(at)) for at in range(3)]
        for note in notes:
            assert copies.send(note) == []
        (tmp_path / "fetched").mkdir()
        received(tmp_path / "fetched")
    fetched = read_copies(tmp_path / "fetched")
    assert [note.data for _, note in fetched] == [note.data for note in notes]
    report = verify_checkpoints(tmp_path / "audit", [KEY.public], fetched)
    assert report is not None
    assert (report.problems, report.copies) == ([], 3)


def test_a_server_that_does_not_accept(url: str) -> None:
    for path, why in (
        ("500?secret=1", "the target answered 500"),
        ("302?secret=1", "the target answered 302"),
        ("junk", "the target cannot be reached: BadStatusLine"),
    ):
        (failure,) = Copies.open([f"{url}/{path}"]).send(NOTE)
        assert failure == f"the checkpoint cannot be copied to {url}/{path.partition('?')[0]}: {why}"
    assert b"a redirection was followed" not in Receiver.got


def test_a_header_comes_from_the_environment_or_a_file(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COPY_TOKEN", SECRET)
    (tmp_path / "key").write_text("first\n")
    host = url.removeprefix("http://")
    headers = [f"{host}=Authorization=env:COPY_TOKEN", f"{host.upper()}=x-key=file:{tmp_path / 'key'}"]
    copies = Copies.open([f"{url}/200"], [*headers, "other.example=Cookie=env:NOT_SET"])
    assert SECRET not in repr(copies)
    assert copies.send(NOTE) == []
    (tmp_path / "key").write_text("second\n")  # a new credential needs no restart
    assert copies.send(NOTE) == []
    assert [sent["Authorization"] for sent in Receiver.headers_got] == [SECRET, SECRET]
    assert [sent["X-Key"] for sent in Receiver.headers_got] == ["first", "second"]
    assert "Cookie" not in Receiver.headers_got[0]
    for wrong in ("", "two\nlines", "schön", "a\tb"):
        (tmp_path / "key").write_text(wrong)
        (failure,) = copies.send(NOTE)
        assert failure.endswith(f"file:{tmp_path / 'key'} does not hold the value of a header")
    (tmp_path / "key").unlink()
    (failure,) = copies.send(NOTE)
    assert failure.endswith(f"the header x-key cannot be read from file:{tmp_path / 'key'}")
    with pytest.raises(AuditError, match="the header Authorization cannot be read from env:NO_SUCH_VARIABLE"):
        Copies.open([f"{url}/200"], [f"{host}=Authorization=env:NO_SUCH_VARIABLE"])
    assert Header.read("a=b=env:C=D") == Header("a", "b", "env:C=D")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("https://me:pass@host.example/x?q=1", "https://host.example/x: credentials do not belong in the URL"),
        ("s3://me:pass@bucket/x", "s3://bucket/x: credentials do not belong in the URL"),
        ("http://host:port/x", "not a place for copies of checkpoints: http://host:port/x"),
        ("az://", "not an object store: .+"),
    ],
)
def test_a_place_that_cannot_be_used_is_an_error_of_the_start(target: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Copies.open([target])
    assert "pass" not in str(caught.value)


def test_a_place_that_is_gone_prevents_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_bucket(monkeypatch):
        gone = Copies.open(["s3://kept/a"], timeout_s=0.2)
    note = CheckpointStore(tmp_path / "audit", KEY).write([], 1.0)
    (failure,) = gone.send(note)
    assert failure.startswith("the checkpoint cannot be copied to s3://kept/a: the object store refuses: ")
    copies = Copies.open([str(tmp_path / "none" / "x"), str(tmp_path / "copies"), "stdout"])
    (failure,) = copies.send(note)
    assert failure == f"the checkpoint cannot be copied to {tmp_path}/none/x: no such file or directory"
    assert [copy for _, copy in read_copies(tmp_path / "copies")] == [note]


def test_copies_are_found_in_what_a_collector_stores(tmp_path: Path) -> None:
    (tmp_path / "1.note").write_bytes(NOTE.data)
    lines = ['{"message": "listening"}', "[]", '"checkpoint"', '{"checkpoint": 1}', '{"checkpoint" x', ""]
    lines.append(json.dumps({"checkpoint": NOTE.data.decode()}))
    (tmp_path / "2.log").write_text("\n".join(lines))
    (tmp_path / "3").mkdir()
    assert read_copies(tmp_path) == [(str(tmp_path / "1.note"), NOTE), (f"{tmp_path / '2.log'}:7", NOTE)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no checkpoint in this file"),
        (SignedNote("a\n", NOTE.signatures).data[:-9], "no checkpoint in this file"),
        (b'{"checkpoint": "junk"}', r"copies:1: not a signed note"),
    ],
)
def test_a_file_without_copies(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "copies").write_bytes(data)
    with pytest.raises(AuditError, match=message):
        read_copies(tmp_path / "copies")
