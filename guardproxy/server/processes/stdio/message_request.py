"""A message as a request: what admission and the driver read of a request of HTTP, without a connection."""

from __future__ import annotations

from aiohttp import HttpVersion, HttpVersion11
from multidict import CIMultiDict

from guardproxy.server.upstream.upstream import Answering


class MessageBody:
    """A body that has arrived in full."""

    total_bytes = 0  # those that the parser of HTTP counts

    def __init__(self, data: bytes) -> None:
        self._data = data

    def is_eof(self) -> bool:
        return True

    def at_eof(self) -> bool:
        return not self._data

    def read_nowait(self) -> bytes:
        data, self._data = self._data, b""
        return data


class MessageRequest:
    """A request with a message of the client (`POST`), or for one that the server sent (`GET`). Nobody else can send one to
    this process, so it has no address, and a credential that only says whose values and approvals are whose. `upstream`: what
    answers it; `conversation`: the name of the conversation."""

    version: HttpVersion = HttpVersion11
    is_spoken = True
    remote = ""
    owner = ""
    transport = None
    upstream_of = None

    def __init__(self, method: str, path: str, body: bytes, upstream: Answering, conversation: str) -> None:
        self.method = method
        self.raw_path = path
        self.headers: CIMultiDict[str] = CIMultiDict(
            {"Host": "localhost", "Authorization": f"Bearer {path.rpartition('/')[2]}"}
        )
        if body:
            self.headers["Content-Type"] = "application/json"
        self.content = MessageBody(body)
        self.content_length = len(body)
        self.upstream = upstream
        self.conversation = conversation
        self.closing = False

    def go_on(self) -> None:
        """Does nothing: the body is there."""
