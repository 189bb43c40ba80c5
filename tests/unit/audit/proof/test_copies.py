"""Copies of checkpoints: where they go, and how they are read again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from guardproxy.audit.proof.copies import read_copies, send_copy
from guardproxy.audit.proof.note import SignedNote, sign
from guardproxy.errors import AuditError
from tests.kit.proof import KEY

NOTE = sign("a\n1\nx\n", KEY)


class Receiver(BaseHTTPRequestHandler):
    """Keeps the bodies of POSTs. A path of digits is the status that it answers; `/junk` gets no HTTP."""

    got: list[bytes] = []  # noqa: RUF012 - of the test below

    def do_POST(self) -> None:
        self.got.append(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/junk":
            self.wfile.write(b"junk\r\n\r\n")
            return
        self.send_response(int(self.path[1:4]))
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    Receiver.got = []
    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_server_gets_the_note(url: str) -> None:
    send_copy(f"{url}/200", NOTE)
    assert Receiver.got == [NOTE.data]
    with pytest.raises(AuditError, match=r"badstatusline|oserror"):
        send_copy(f"{url}/junk", NOTE)
    for path in ("500?secret=1", "junk"):
        with pytest.raises(AuditError, match=r"the checkpoint cannot be copied to http://127\.0\.0\.1/") as caught:
            send_copy(f"{url.replace('127', 'me:pass@127')}/{path}", NOTE)
        assert "secret" not in str(caught.value)
        assert "pass" not in str(caught.value)


def test_a_file_and_standard_output_get_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "copies"
    for _ in range(2):
        send_copy(str(path), NOTE)
        send_copy("stdout", NOTE)
    assert read_copies(path) == [(f"{path}:1", NOTE), (f"{path}:2", NOTE)]
    assert capsys.readouterr().out == path.read_text()
    with pytest.raises(AuditError, match=r"cannot be copied to .*none/x: no such file"):
        send_copy(str(tmp_path / "none" / "x"), NOTE)


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
