"""Tells a webhook about the calls of tools that wait for a person, and takes its answer.

In: records of finished exchanges. Out: a signed POST for each call that waits, off the path of requests. The webhook may
answer at once with a decision, or with nothing: then a person decides by `guardproxy confirm`. Redirects are not followed. The
answer of the webhook counts as its decision, so the webhook belongs on an encrypted connection.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Coroutine
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Protocol
from urllib.parse import urlsplit

from guardproxy.audit import Record
from guardproxy.concurrency import lazy
from guardproxy.config import ObservabilitySettings

SIGNATURE = "x-guardproxy-signature"
TIMEOUT_S = 30.0  # for an answer
LIMIT_TRIES = 3
PAUSE_S = 2.0
LIMIT_ANSWER_BYTES = 4096

_log = logging.getLogger(__name__)

Ask = Callable[[str, bytes, str], tuple[int, bytes]]
"""Sends a body with its signature to a URL; returns the status and the beginning of the answer. Raises `OSError` or
`HTTPException`."""


class Reviews(Protocol):
    """The calls that wait for a person (`driving/reviews.py`)."""

    async def message(self, name: str, key: str) -> tuple[bytes, str] | None:
        """Returns the message about a call and its signature; `None` if it does not wait any more."""

    async def answered(self, name: str, host: str, data: bytes) -> bool:
        """Takes the answer of the webhook; returns whether it decided."""


class Webhook:
    """Asks the webhook."""

    @lazy
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context()

    def __call__(self, url: str, body: bytes, signature: str) -> tuple[int, bytes]:
        """See `Ask`."""
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        connection = (
            HTTPSConnection(host, port, timeout=TIMEOUT_S, context=self._tls)
            if parts.scheme == "https"
            else HTTPConnection(host, port, timeout=TIMEOUT_S)
        )
        headers = {"Content-Type": "application/json", "User-Agent": "guardproxy"}
        if signature:
            headers[SIGNATURE] = signature
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(LIMIT_ANSWER_BYTES)
        finally:
            connection.close()


class ConfirmObserver:
    """An observer that asks the webhook. `loop`: the one on which `reviews` work."""

    name = "confirmations"

    def __init__(
        self,
        settings: ObservabilitySettings,
        reviews: Reviews,
        loop: asyncio.AbstractEventLoop,
        ask: Ask | None = None,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._url = settings.confirm_webhook
        self._key = settings.confirm_key
        self._reviews = reviews
        self._ask = ask or Webhook()
        self._pause = pause
        self._loop = loop

    def wants(self, record: Record) -> bool:
        """Whether a call waits for a person."""
        return any(decision.confirmation and not decision.approved_by for decision in record.decisions)

    def finished(self, record: Record) -> None:
        """Asks about the calls of an exchange, in the thread of the observer."""
        names = (decision.confirmation for decision in record.decisions if not decision.approved_by)
        for name in dict.fromkeys(filter(None, names)):
            self._tell(name)

    def _tell(self, name: str) -> None:
        try:
            message = self._on_loop(self._reviews.message(name, self._key))
            if message is None:
                return
            body, signature = message
            data = self._send(body, signature)
            if data is not None:
                self._on_loop(self._reviews.answered(name, urlsplit(self._url).netloc, data))
        except Exception as error:  # the call still waits, and a person can decide
            _log.warning("confirmation not asked for", extra={"confirmation": name, "error": type(error).__name__})

    def _send(self, body: bytes, signature: str) -> bytes | None:
        """Returns the answer of the webhook; `None` if it gave none. The log shows the host, as the path of a URL may be
        secret."""
        why = ""
        for tried in range(1, LIMIT_TRIES + 1):
            try:
                status, data = self._ask(self._url, body, signature)
            except (OSError, HTTPException) as error:
                why = type(error).__name__
            else:
                if 200 <= status < 300:
                    return data
                why = f"status {status}"
            if tried < LIMIT_TRIES:
                self._pause(PAUSE_S)
        _log.warning("webhook not reached", extra={"host": urlsplit(self._url).netloc, "error": why})
        return None

    def _on_loop(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(TIMEOUT_S)
