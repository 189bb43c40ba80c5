"""HTTP by hand: a client that sends any bytes, and an upstream that answers with any bytes."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def tree(self) -> Any:
        return json.loads(self.body)


def exchange(port: int, data: bytes, timeout_s: float = 60.0) -> Answer:
    """Sends bytes on a new connection and reads until its end. The request must ask for the connection to close."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as client:
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before all of it was read
            client.sendall(data)
        received = b""
        with suppress(ConnectionResetError):
            while piece := client.recv(65536):
                received += piece
    return parsed(received)


def parsed(received: bytes) -> Answer:
    """The one answer that these bytes are."""
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    if headers.get("transfer-encoding") == "chunked":
        body = unchunked(body)
    return Answer(int(lines[0].split()[1]), headers, body)


def unchunked(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size.split(b";")[0], 16)
        whole, body = whole + body[:length], body[length + 2 :]
    return whole


def post(port: int, path: str, body: bytes, *, method: str = "POST", **headers: str) -> Answer:
    named = {"host": "proxy", "content-type": "application/json", "connection": "close"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    named.setdefault("content-length", str(len(body)))
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items() if value)
    return exchange(port, f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body)


class RawUpstream:
    """Answers every request with `answer` and closes the connection. Counts the requests; keeps their heads."""

    def __init__(self) -> None:
        self.answer = b""
        self.requests: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run, name="raw upstream", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed
                return
            with connection, suppress(OSError):
                connection.settimeout(10)
                received = b""
                while not self._whole(received):
                    piece = connection.recv(65536)
                    if not piece:
                        break
                    received += piece
                if received:
                    self.requests.append(received)
                    connection.sendall(self.answer)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65536):
                        pass

    @staticmethod
    def _whole(received: bytes) -> bool:
        head, found, body = received.partition(b"\r\n\r\n")
        at = head.lower().find(b"content-length:")
        size = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        return bool(found) and len(body) >= size

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(timeout=60)
