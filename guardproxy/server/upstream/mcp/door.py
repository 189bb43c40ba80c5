"""The door of an MCP server: who may call it, whose session it is, and where its authorization is described.

In: the head of a request to `/mcp/NAME`, or for the metadata of that resource, and the headers of the answer. Out: refusals,
headers for the server, headers for the client. Kept: the tokens of the settings.

The server is the only upstream of such a request: no policy sends it elsewhere, so neither a token nor a session reaches
another server. The id of a session is a word of the server that the client repeats, sealed (`sessions.py`). So it passes
without the check of other headers.

Decision: docs/decisions/0066-an-mcp-server-has-a-door.md
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from multidict import CIMultiDict

from guardproxy.config import CLIENTS, Config
from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.gateway import Head
from guardproxy.harmless import is_harmless, without_ids
from guardproxy.server.upstream.mcp.challenges import (
    METADATA_PATH,
    METADATA_ROUTE,
    challenge,
    metadata_of,
    metadata_path,
    own_challenge,
)
from guardproxy.server.upstream.mcp.sessions import Sessions, holder_of_sessions
from guardproxy.server.upstream.mcp.tokens import BearerToken
from guardproxy.server.upstream.targets import FoundUpstream

PROVIDER = "mcp/"
"""How the provider of a codec begins that reads messages of a server: `mcp/NAME`."""
SESSION = "Mcp-Session-Id"
LAST_EVENT = "Last-Event-ID"
PATH = "/mcp/"
SERVERS = "mcp"  # the setting that names the servers
_OWN_PAGE = re.compile(r"https?://(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?", re.ASCII)
_EVENT = re.compile(r"[A-Za-z0-9_.:/+=~-]{1,128}", re.ASCII)  # as the format lets ids of events through
_CHALLENGE = "WWW-Authenticate"


class McpDoor:
    """The door for one request. `server`: the name; `base`: the address by which the client calls the proxy; `seal`: a keyed
    digest; `issuer`: the authorization server of the proxy's own tokens, empty without one; `is_ending`: whether authorization
    ends at the proxy; `asks_metadata`: whether the request asks for the metadata of the resource; `described`: the path of the
    metadata that the server named last, by the names of servers."""

    def __init__(
        self,
        server: str,
        base: str,
        seal: Callable[[bytes], str],
        issuer: str,
        described: dict[str, str],
        *,
        is_ending: bool,
        asks_metadata: bool,
    ) -> None:
        self.server = server
        self.resource = f"{base}{PATH}{server}"
        self.is_ending = is_ending
        self.asks_metadata = asks_metadata
        self.own_metadata = metadata_of(self.resource, (issuer,)) if issuer and is_ending else b""
        self._metadata = f"{base}{METADATA_PATH}{PATH}{server}"
        self._seal = seal
        self._described = described
        self._sessions: Sessions | None = None

    def metadata_paths(self, path: str) -> tuple[str, ...]:
        """Returns where the server may describe its authorization, most likely places first. `path`: of its address. A server
        that knows the proxy's address has its metadata at a place with the proxy's path."""
        named = self._described.get(self.server, "")
        places = (path.rstrip("/"), f"{PATH}{self.server}", "")
        return tuple(dict.fromkeys(filter(None, (named, *(METADATA_PATH + place for place in places)))))

    def pass_on(self, head: Head, headers: CIMultiDict[str]) -> str:
        """Adds what the client says of its session and its stream to the headers for the server. `head`: after the duties,
        which know whose request it is. Returns the id of the session as the server knows it; empty without one. Raises
        `DownstreamError` (400, 404)."""
        sessions = self._sessions = Sessions(
            self._seal, holder_of_sessions(head.credential.secret, head.tenant), self.server
        )
        for name in (SESSION, LAST_EVENT):
            headers.popall(name, None)
        if self.asks_metadata:
            return ""
        if event := head.headers.get(LAST_EVENT, ""):
            if not _EVENT.fullmatch(event) or not is_harmless(without_ids(event)):
                raise DownstreamError(ErrorCode.INVALID_HEADER, field=LAST_EVENT.lower())
            headers[LAST_EVENT] = event
        session = head.headers.get(SESSION, "")
        if session:
            session = headers[SESSION] = sessions.opened(session)
        return session

    def amend(self, headers: CIMultiDict[str], answer: Mapping[str, str]) -> None:
        """Adds what the server says of the session, and of its authorization, to the headers for the client. `answer`: the
        headers of the server."""
        for name in (SESSION, _CHALLENGE):
            headers.popall(name, None)
        if self._sessions and (sealed := self._sessions.sealed(answer.get(SESSION, ""))):
            headers[SESSION] = sealed
        sent = answer.get(_CHALLENGE, "")
        if not self.is_ending and (value := challenge(sent, self._metadata)):
            headers[_CHALLENGE] = value
            if path := metadata_path(sent):
                self._described[self.server] = path

    def refusal(self) -> Mapping[str, str]:
        """The headers of a refusal of the proxy for want of a key or a token."""
        return {_CHALLENGE: own_challenge("Bearer", {"resource_metadata": self._metadata} if self.own_metadata else {})}


class McpDoors:
    """The doors of all servers in the settings. `seal`: a keyed digest. `tokens`: the proxy's own, by server."""

    def __init__(self, config: Config, seal: Callable[[bytes], str], tokens: Mapping[str, BearerToken]) -> None:
        self._servers = config.mcp.servers
        self._tokens = tokens
        self._origins = frozenset(config.mcp.origins)
        self._address = config.mcp.address.rstrip("/")
        self._scheme = "https" if config.tls.speaks(CLIENTS) else "http"
        self._issuer = config.clients.jwt_issuer if config.clients.jwt_keys else ""
        self._is_ending = config.clients.has_credentials and config.clients.keys_mode == "enforce"
        self._described: dict[str, str] = {}
        self._seal = seal

    def door(self, provider: str, head: Head) -> McpDoor | None:
        """Returns the door of a request; `None` if it is not for an MCP server. `provider`: that of its codec."""
        asks_metadata = head.route == METADATA_ROUTE
        if not asks_metadata and not provider.startswith(PROVIDER):
            return None
        return McpDoor(
            head.path.rpartition("/")[2] if asks_metadata else provider.removeprefix(PROVIDER),
            self._address or f"{self._scheme}://{head.headers.get('Host', 'localhost')}",
            self._seal,
            self._issuer,
            self._described,
            is_ending=self._is_ending,
            asks_metadata=asks_metadata,
        )

    def upstream(self, door: McpDoor) -> FoundUpstream:
        """Returns the server behind a door, without an address if there is none of its name. Raises `DownstreamError` (503) if
        its token cannot be read."""
        name, url = f"{PROVIDER}{door.server}", self._servers.get(door.server, "")
        if door.asks_metadata:
            return FoundUpstream(name, url, "", is_whole=True)
        token = self._tokens[door.server].current() if door.server in self._tokens else ""
        return FoundUpstream(name, url, token, is_whole=True)

    def check_origin(self, headers: Mapping[str, str]) -> None:
        """Raises `DownstreamError` (403) for a request of a page that may not call servers: a page of the web could otherwise
        reach the servers of this machine, under a name of its own that leads here."""
        origin = headers.get("Origin")
        if origin is not None and origin not in self._origins and not _OWN_PAGE.fullmatch(origin):
            raise DownstreamError(ErrorCode.WRONG_ORIGIN, field="origin")


def no_upstream(provider: str) -> DownstreamError:
    """The refusal of a route whose upstream is not in the settings."""
    if provider.startswith(PROVIDER):
        server = provider.removeprefix(PROVIDER)
        message = f"no MCP server is called `{server}`: start guardproxy with --mcp {server}=URL"
    else:
        message = "no upstream answers this route: start guardproxy with --upstream URL"
    return DownstreamError(ErrorCode.UNKNOWN_ROUTE, message)
