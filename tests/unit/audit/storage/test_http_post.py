"""A POST that is accepted, and one that is not: the error says why, without the URL."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from guardproxy.audit.storage.http_post import post
from guardproxy.errors import AuditError


class Answers(BaseHTTPRequestHandler):
    """Answers with the status in the path. `/junk` gets no HTTP."""

    got: list[tuple[str, str, bytes]] = []  # noqa: RUF012 - of the test below

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append((self.path, self.headers["X-Kind"], body))
        if self.path == "/junk":
            self.wfile.write(b"junk\r\n\r\n")
            return
        self.send_response(int(self.path[1:4]))
        self.send_header("Location", "/200")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    Answers.got = []
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_status_of_2xx_accepts(url: str) -> None:
    for status in (200, 204):
        post(f"{url}/{status}", b"data", {"X-Kind": "a"}, 30)
    assert Answers.got == [("/200", "a", b"data"), ("/204", "a", b"data")]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/301", "the target answered 301"),
        ("/307", "the target answered 307"),
        ("/404", "the target answered 404"),
        ("/junk", "the target cannot be reached: BadStatusLine"),
        (":x@h/", "the target cannot be reached: InvalidURL"),
    ],
)
def test_anything_else_is_a_refusal(url: str, path: str, message: str) -> None:
    with pytest.raises(AuditError) as caught:
        post(url + path, b"data", {"X-Kind": "a"}, 30)
    assert str(caught.value) == message
    assert len(Answers.got) <= 1


@pytest.mark.parametrize(
    ("url", "headers"),
    [("http://127.0.0.1:99999/", {}), ("http://[/", {}), ("http://127.0.0.1:1/", {"X-Kind": "two\nlines"})],
)
def test_what_cannot_be_sent_is_a_refusal(url: str, headers: dict[str, str]) -> None:
    with pytest.raises(AuditError, match=r"the target cannot be reached: [A-Za-z]+$"):
        post(url, b"data", headers, 30)
