"""Posts copies of lines to a URL, as lines of JSON."""

from __future__ import annotations

from guardproxy.audit.shipping.shipping import Batch
from guardproxy.audit.storage.http_post import post


class HttpTarget:
    """Posts each batch to `url` with the content type `application/x-ndjson`. A status of 2xx accepts it. `token`: sent
    as a bearer token, if not empty. `Idempotency-Key` names the log and the first and last line of the batch."""

    def __init__(self, url: str, token: str = "", timeout_s: float = 30.0) -> None:
        self._url = url
        self._token = token
        self._timeout_s = timeout_s

    def send(self, batch: Batch) -> None:
        headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": f"{batch.log}-{batch.first}-{batch.last}"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        post(self._url, batch.data, headers, self._timeout_s)

    def close(self) -> None:
        """Does nothing: each batch has a connection of its own."""
