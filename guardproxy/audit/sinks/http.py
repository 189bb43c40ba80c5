"""Posts copies of lines to a URL, as lines of JSON."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import Any

from guardproxy.audit.shipping import Batch
from guardproxy.errors import AuditError


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses redirections, which would turn a POST into a GET, or send records elsewhere."""

    def redirect_request(self, *arguments: Any) -> None:
        return None


class HttpTarget:
    """Posts each batch to `url` with the content type `application/x-ndjson`. A status of 2xx accepts it. `token`: sent
    as a bearer token, if not empty. `Idempotency-Key` names the log and the first and last line of the batch."""

    def __init__(self, url: str, token: str = "", timeout_s: float = 30.0) -> None:
        self._url = url
        self._token = token
        self._timeout_s = timeout_s
        self._opener = urllib.request.build_opener(_NoRedirect)

    def send(self, batch: Batch) -> None:
        headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": f"{batch.log}-{batch.first}-{batch.last}"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(self._url, batch.data, headers, method="POST")  # noqa: S310 - http or https
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                answer.read(1 << 16)
        except urllib.error.HTTPError as error:
            with error:
                raise AuditError(f"the target answered {error.code}") from None
        except (OSError, ValueError) as error:
            raise AuditError(f"the target cannot be reached: {type(error).__name__}") from None

    def close(self) -> None:
        """Does nothing: each batch has a connection of its own."""
