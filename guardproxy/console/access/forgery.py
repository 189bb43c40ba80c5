"""Whether a request that changes something comes from a page of the console, and not from a page of somebody else.

In: the headers of a request, and the token that it sends. Out: whether it is refused. A browser says where a request comes from
(`Sec-Fetch-Site`, `Origin`); the token of the session is needed beside that.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit

FIELD = "csrf"
HEADER = "X-CSRF-Token"


def is_from_elsewhere(headers: Mapping[str, str]) -> bool:
    """Whether the browser says that another site, or another origin of this site, made the request. Programs say nothing."""
    site = headers.get("Sec-Fetch-Site")
    if site is not None:  # no page can set it; a proxy in front may change `Host`, but not this
        return site != "same-origin"
    origin = headers.get("Origin")
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc.lower() != headers.get("Host", "").lower()
    except ValueError:
        return True


def is_token(expected: str, given: str) -> bool:
    """Whether the token of a form is that of the session. Takes the same time for every wrong one."""
    return hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace"))
