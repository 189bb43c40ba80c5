"""The settings of MCP servers that the proxy guards."""

from __future__ import annotations

import re
from dataclasses import dataclass

from guardproxy.config.declaration import AllowedValues, setting, split_address

NAME_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
ORIGIN_FORM = re.compile(r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?", re.ASCII)
PATH = re.compile(r"[^=]+=@(?P<path>.+)", re.DOTALL)
_MOST_DIGITS = 6  # of a parameter of a route


def is_server(entry: str) -> bool:
    """Whether an entry is a name, and an address with a host and without a user, a query or a fragment."""
    name, _, url = entry.partition("=")
    parts = split_address(url)
    return (
        NAME_FORM.fullmatch(name) is not None
        and sum(map(str.isdigit, name)) <= _MOST_DIGITS
        and parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and not (parts.query or parts.fragment or "@" in parts.netloc)
    )


def is_token(entry: str) -> bool:
    name, _, token = entry.partition("=")
    return bool(name and token.removeprefix("@"))


def is_address(entry: str) -> bool:
    parts = split_address(entry)
    return not entry or (
        parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and not (parts.query or parts.fragment or "@" in parts.netloc)
    )


@dataclass(frozen=True, slots=True)
class McpSettings:
    """The settings of MCP servers."""

    entries: tuple[str, ...] = setting(
        "mcp",
        (),
        "`NAME=URL`: an MCP server (streamable HTTP) that clients reach at /mcp/NAME. May be given several times.",
        AllowedValues(
            form="like files=http://127.0.0.1:8000/mcp; a name has letters, at most 6 digits, `.`, `_` and `-`",
            is_right=is_server,
        ),
    )
    tokens: tuple[str, ...] = setting(
        "mcp_token",
        (),
        "`NAME=TOKEN` or `NAME=@FILE`: the bearer token for an MCP server. The file is read again when it changes. Needs "
        "`client_keys` or `jwt_keys`: otherwise everyone could use it. Without a token, and without keys of the proxy's own, "
        "the server gets the client's token.",
        AllowedValues(form="like files=TOKEN or files=@FILE", is_right=is_token),
        is_secret=True,
        path=PATH,
    )
    origins: tuple[str, ...] = setting(
        "mcp_origin",
        (),
        "An origin, like https://app.example, whose pages may call MCP servers. Pages of this machine always may.",
        AllowedValues(form="like https://app.example", is_right=lambda entry: ORIGIN_FORM.fullmatch(entry) is not None),
    )
    address: str = setting(
        "mcp_address",
        "",
        "The address under which clients reach the proxy, like https://guard.example, for the metadata of authorization. "
        "Empty: http, or https with `tls_cert`, and the `Host` of each request.",
        AllowedValues(form="like https://guard.example", is_right=is_address),
    )

    @property
    def servers(self) -> dict[str, str]:
        """Returns the addresses of the servers, by name."""
        return dict(entry.split("=", 1) for entry in self.entries)

    @property
    def upstreams(self) -> dict[str, str]:
        """Returns the addresses of the servers, by the names of their upstreams: `mcp/NAME`."""
        return {f"mcp/{name}": url for name, url in self.servers.items()}

    @property
    def token_sources(self) -> dict[str, str]:
        """Returns the tokens, or `@` and the file of each, by the name of its server."""
        return dict(entry.split("=", 1) for entry in self.tokens)
