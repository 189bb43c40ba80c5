"""Sessions that an upstream begins for a client: the client gets a sealed id, and nobody else can use it.

In: the id that an upstream gives in a header of its answer, and the ids that clients send. Out: `abc` as `abc.` with 16
hexadecimal digits that only the key of the proxy can compute for this holder and this upstream, and back. Kept: nothing, so
every worker and replica with the same key can check an id, and a restart changes nothing.

The holder is the client, if it has a key of the proxy. Otherwise it is the credential that goes upstream. A token that is
renewed names the same subject, so it keeps its sessions. Its claims are read without its signature: the upstream checks that
before it looks at the session.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from hmac import compare_digest

from guardproxy.errors import DownstreamError, ErrorCode

_ID = re.compile(r"[!-~]{1,512}", re.ASCII)  # what a header may hold, as MCP defines it
_SEAL_CHARS = 16
_JWT_PARTS = 3
_SUBJECT = ("iss", "sub", "client_id", "azp")


@dataclass(frozen=True, slots=True)
class Sessions:
    """The sessions of a holder at an upstream. `seal`: a keyed digest; `holder`: see `holder_of_sessions`; `upstream`: its
    name."""

    seal: Callable[[bytes], str]
    holder: str
    upstream: str

    def sealed(self, name: str) -> str:
        """Returns the id for the client; empty for an id that no header can hold."""
        return f"{name}.{self._seal_of(name)}" if _ID.fullmatch(name) else ""

    def opened(self, name: str) -> str:
        """Returns the id that the upstream gave. Raises `DownstreamError` (404) for an id of another holder or upstream, and
        for one that was made up: a client of MCP then begins a new session."""
        known, _, seal = name.rpartition(".")
        if not _ID.fullmatch(known) or not compare_digest(seal.encode(), self._seal_of(known).encode()):
            raise DownstreamError(ErrorCode.UNKNOWN_SESSION, field="mcp-session-id")
        return known

    def _seal_of(self, name: str) -> str:
        return self.seal(f"session:{self.upstream}:{self.holder}:{name}".encode())[:_SEAL_CHARS]


def holder_of_sessions(secret: str, tenant: str) -> str:
    """Returns whose sessions a request may use. `secret`: the credential that goes upstream, empty if the proxy has keys of its
    own; `tenant`: the pseudonym of the client or of the credential."""
    # By subject and not by the token itself: clients renew their tokens every few minutes, and a session outlives them.
    parts = secret.split(".")
    if len(parts) == _JWT_PARTS and (subject := _subject(parts[1])):
        return f"token:{subject}"
    return f"tenant:{tenant}"


def _subject(payload: str) -> str:
    """Returns the issuer, subject and client that the claims of a token name; empty without a subject."""
    try:
        claims = json.loads(base64.b64decode(payload + "=" * (-len(payload) % 4), b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return ""
    if not isinstance(claims, dict) or not isinstance(claims.get("sub"), str) or not claims["sub"]:
        return ""
    return json.dumps([claims.get(name) for name in _SUBJECT])
