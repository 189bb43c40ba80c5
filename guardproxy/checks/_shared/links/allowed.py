"""Whether a policy allows the host of an address, in every reading.

In: a text and the sign of an address in it. Out: where the search goes on after an allowed address.

Parsers of URLs disagree about most unusual addresses. So an address is allowed only in its plainest form: a scheme of the
list, `://`, a host of the list in ASCII letters, and after it the end of the address or a path, a query or a fragment.
An address with a user part, another port, an escape, a backslash, a trailing dot or a letter of another script is not
allowed, whatever its host seems to be.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from guardproxy.urls import covers

_LIMIT = 512
_AUTHORITY = re.compile(rf"[^/?#]{{0,{_LIMIT}}}")
_HOST = re.compile(r"[a-z0-9.\-]+(?::\d{1,5}(?!\d))?", re.IGNORECASE)
_PATH = ("/", "?", "#")
_AFTER = ")\\]}'\"`*_~|,;:!?.<>\uff0c\u3001\uff1b\uff1a\uff09\u3002"  # may stand after an address
_GOES_ON = re.compile(rf"[@%&\\\u200b-\u200d\u2060\ufeff\u00ad]|[.\u3002\uff0e\uff61][^{_AFTER}]|\A[^{_AFTER}]")


@dataclass(frozen=True, slots=True)
class Allowed:
    """The hosts and schemes that a policy allows, in lower case."""

    hosts: Collection[str]
    schemes: Collection[str]

    def end(self, text: str, start: int, sign: re.Match[str], *, stops: str, last: bool) -> int | None:
        """Returns the end of the host of an allowed address; `None` if the address is not allowed, 0 if more text is
        needed. A scheme without a host is allowed if the list of schemes has it.

        `stops`: the characters that end the address.
        """
        scheme = text[start : sign.start()].lower()
        if sign["colon"] != ":" or scheme not in self.schemes:
            return None
        if sign["slashes"] is None:
            return sign.end() if scheme not in ("http", "https", "ws", "wss", "ftp") else None
        if sign["slashes"] != "//" or not self.hosts:
            return None
        authority = _AUTHORITY.match(text, sign.end())
        assert authority is not None  # noqa: S101 - it may be empty
        whole = authority[0][: min((at for char in stops if (at := authority[0].find(char)) >= 0), default=_LIMIT)]
        end = sign.end() + len(whole)
        if end == len(text) and not last and len(whole) < _LIMIT:
            return 0
        host = _HOST.match(whole)
        if host is None or len(whole) == _LIMIT:
            return None
        name = host[0].rstrip(".-")
        rest = whole[len(name) :]
        behind = text[end : end + 1]
        if rest and (_GOES_ON.search(rest) or (rest[0] == "." and behind in _PATH)):
            return None
        return sign.end() + len(name) if any(covers(host, name.lower()) for host in self.hosts) else None
