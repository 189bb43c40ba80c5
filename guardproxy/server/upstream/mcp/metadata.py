"""Answers requests for the metadata of a protected resource: what the server says, with the proxy's address, or the proxy's own
metadata. No text of a server passes: `challenges.forwarded_metadata` keeps members of known forms.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from multidict import CIMultiDict

from guardproxy.errors import ErrorCode, UpstreamError
from guardproxy.server.intake.feedback import OwnAnswer
from guardproxy.server.upstream.mcp.challenges import LIMIT_BYTES, forwarded_metadata
from guardproxy.server.upstream.mcp.door import McpDoor
from guardproxy.server.upstream.upstream import Answering

_NOT_FOUND = 404


class Metadata:
    """Answers in the place of an upstream. `asked`: asks the server; `door`: that of the request."""

    def __init__(self, asked: Answering, door: McpDoor) -> None:
        self._asked = asked
        self._door = door
        self._left = b""
        self.sending: tuple[str, str, CIMultiDict[str]] | None = None
        self.response: OwnAnswer | None = None

    def begin(
        self, method: str, url: str, headers: CIMultiDict[str], body: bytes | None, *, at_once: bool = False
    ) -> None:
        """Takes the request."""
        self.sending = (method, url, headers)

    async def head(self) -> OwnAnswer:
        """Returns the head of the answer. Raises `UpstreamError`."""
        assert self.sending is not None  # noqa: S101 - `begin` came first
        (method, url, headers), self.sending = self.sending, None
        body: bytes | None = self._door.own_metadata
        address = urlsplit(url)
        # Never at another origin than that of the settings, whatever the server says.
        for path in () if self._door.is_ending else self._door.metadata_paths(address.path):
            body = body or await self._ask(method, f"{address.scheme}://{address.netloc}{path}", headers)
        self.response = OwnAnswer(body or b"{}", 200 if body else _NOT_FOUND)
        self._left = self.response.body
        return self.response

    async def _ask(self, method: str, url: str, headers: CIMultiDict[str]) -> bytes | None:
        """Asks the server. Returns `None` if it has no metadata there. Raises `UpstreamError`."""
        asked = self._asked
        asked.begin(method, url, headers, b"")
        try:
            answer = await asked.head()
            if answer.status != 200:
                return None
            body = b""
            while data := await asked.read():
                body += data
                if len(body) > LIMIT_BYTES:
                    raise UpstreamError(ErrorCode.UPSTREAM_TOO_LARGE)
            return forwarded_metadata(body, self._door.resource)
        except ValueError as error:
            raise UpstreamError(ErrorCode.UPSTREAM_INVALID_JSON, str(error)) from None
        finally:
            asked.close()

    async def read(self) -> bytes:
        """Returns the body, then nothing."""
        return self.arrived()

    def arrived(self) -> bytes:
        """Returns the body, then nothing."""
        data, self._left = self._left, b""
        return data

    def release(self) -> None:
        """Does nothing: the answer of the server was read."""

    def close(self) -> None:
        """Ends the request to the server."""
        self.sending = None
        self._asked.close()
