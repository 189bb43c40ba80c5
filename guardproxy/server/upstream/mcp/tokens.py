"""The proxy's bearer tokens for MCP servers: from a setting, or from a file that another program renews.

A token is nowhere shown: not in the log, in a record or in a message.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from guardproxy.config import Config
from guardproxy.errors import ConfigError, DownstreamError, ErrorCode
from guardproxy.server.opening import naming

LOOK_EVERY_S = 1.0
LIMIT_BYTES = 16 * 1024
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{1,8192}=*", re.ASCII)  # RFC 6750
_clock = time.monotonic


class BearerToken:
    """The token of a server. `source`: the token, or `@` and the path of its file. Raises `ConfigError`."""

    def __init__(self, server: str, source: str) -> None:
        self._server = server
        self._file = Path(source[1:]) if source.startswith("@") else None
        self._token = "" if self._file else source
        self._looked_s = _clock()
        self._seen: tuple[int, int, int] | None = None
        if self._file is not None:
            try:
                self._read(self._file)
            except (OSError, ValueError) as error:
                why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "it holds no token"
                raise ConfigError(f"the file for `{server}` cannot be used: {why}") from None
        elif not _TOKEN.fullmatch(source):
            raise ConfigError(f"the token for `{server}` has characters that no bearer token has")

    def current(self) -> str:
        """Returns the token. Looks at the file once a second at most. Raises `DownstreamError` (503) while it holds none: the
        former token may be somebody else's by now."""
        if self._file is not None and _clock() - self._looked_s >= LOOK_EVERY_S:
            try:
                self._read(self._file)
            except (OSError, ValueError):
                # The next request reads the file again at once: a program may just be replacing it.
                self._seen = None
                message = f"the token for the MCP server `{self._server}` cannot be read"
                raise DownstreamError(ErrorCode.UPSTREAM_UNAVAILABLE, message) from None
            self._looked_s = _clock()
        return self._token

    def _read(self, file: Path) -> None:
        about = file.stat()
        seen = about.st_mtime_ns, about.st_size, about.st_ino
        # The inode too: a file that is replaced may have the size of the former and, within one tick, its time.
        if seen == self._seen:
            return
        with file.open("rb") as opened:
            token = opened.read(LIMIT_BYTES).decode("ascii").strip()
        if not _TOKEN.fullmatch(token):
            raise ValueError
        self._token, self._seen = token, seen


def bearer_tokens(config: Config) -> dict[str, BearerToken]:
    """Returns the proxy's own tokens, by server. Raises `ConfigError` for one that cannot be read."""
    with naming("mcp_token"):
        return {name: BearerToken(name, source) for name, source in config.mcp.token_sources.items()}
