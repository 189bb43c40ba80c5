"""Opens requests of commands to a server that a person names: an MCP server, the admin port of a proxy.

In: a request. Out: the answer. A redirection is an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from urllib.request import Request


def opened(request: Request, timeout_s: float) -> Any:
    """Returns the answer to a request, to be closed by the caller. Raises `OSError` (`HTTPError` for a status of 300 or more),
    and `HTTPException` for an answer that is not HTTP."""
    from urllib.request import HTTPRedirectHandler, build_opener  # noqa: PLC0415 - slow to import

    class SameServer(HTTPRedirectHandler):
        # The library would send all headers to the new address, the key of the first server among them.
        def redirect_request(self, *arguments: Any) -> None:
            return None

    return build_opener(SameServer).open(request, timeout=timeout_s)
