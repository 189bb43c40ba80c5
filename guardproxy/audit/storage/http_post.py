"""Posts bytes to an HTTP server.

In: a URL, bytes, headers. Out: nothing, if the server has accepted the bytes. Blocks, at most for the time limit of each step.
A redirection counts as a refusal: it would turn the POST into a GET, or send the bytes and the credentials elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guardproxy.errors import AuditError


def post(url: str, data: bytes, headers: Mapping[str, str], timeout_s: float) -> None:
    """Returns when the server has answered with a status of 2xx. Raises `AuditError`, without the URL."""
    # These imports are slow, and most commands do not need them.
    from http.client import HTTPException  # noqa: PLC0415
    from urllib.error import HTTPError  # noqa: PLC0415
    from urllib.request import HTTPRedirectHandler, Request, build_opener  # noqa: PLC0415

    class NoRedirect(HTTPRedirectHandler):
        def redirect_request(self, *arguments: Any) -> None:
            return None

    try:
        request = Request(url, data, dict(headers), method="POST")  # noqa: S310 - the caller checks the scheme
        with build_opener(NoRedirect).open(request, timeout=timeout_s) as answer:
            answer.read(1 << 16)
    except HTTPError as error:
        with error:
            raise AuditError(f"the target answered {error.code}") from None
    except (
        OSError,
        HTTPException,
        ValueError,
        OverflowError,
    ) as error:  # the last two: an invalid header, port or host
        raise AuditError(f"the target cannot be reached: {type(error).__name__}") from None
