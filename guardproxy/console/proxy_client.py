"""Asks the proxy that started the console: its admin port answers on a socket that only this user can open.

In: a path of the admin port, such as `/metrics` or `/all/version`. Out: its answer. Answers are kept for a moment, so that many
open pages cost the proxy no more than one.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

ASK_S = 10.0
KEPT_S = 2.0  # of an answer to GET
LIMIT_KEPT = 100


class ProxyError(Exception):
    """The proxy did not answer, or not as expected."""


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer and the time until which it is given again. `error`: instead of the text, why there is none."""

    text: str
    until_s: float
    error: str = ""


class ProxyClient:
    """Asks the admin port behind the socket `path`; `None`: there is no proxy, as in tests."""

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._kept: dict[str, KeptAnswer] = {}
        self._turns: dict[str, asyncio.Lock] = {}

    async def get(self, path: str) -> Any:
        """Returns an answer in JSON. Raises `ProxyError`."""
        try:
            return json.loads(await self.text(path))
        except ValueError:
            raise ProxyError(f"the proxy's answer to {path} is no JSON") from None

    async def text(self, path: str) -> str:
        """Returns an answer as a text. Raises `ProxyError`."""
        async with self._turns.setdefault(path, asyncio.Lock()):  # pages that ask at once share an answer
            kept = self._kept.get(path)
            if kept is None or kept.until_s <= self._clock():
                kept = await self._answer(path)
                self._kept[path] = kept
                self._forget()
            if kept.error:
                raise ProxyError(kept.error)
            return kept.text

    async def _answer(self, path: str) -> KeptAnswer:
        """Asks. A failure is shared as an answer is: pages in a row behind the lock would each wait `ASK_S` for their own."""
        try:
            text, error = await self._ask("GET", path), ""
        except ProxyError as fault:
            text, error = "", str(fault)
        return KeptAnswer(text, self._clock() + KEPT_S, error)

    def _forget(self) -> None:
        """Drops answers that are too old, once many paths were asked for: a page of each client has a path of its own."""
        if len(self._kept) <= LIMIT_KEPT:
            return
        now_s = self._clock()
        self._kept = {path: kept for path, kept in self._kept.items() if kept.until_s > now_s}
        # A lock that is held stays, as others wait for it. They would ask beside each other otherwise.
        self._turns = {path: turn for path, turn in self._turns.items() if path in self._kept or turn.locked()}

    async def post(self, path: str) -> Any:
        """Asks for a change, such as `/all/reload`. Returns the answer in JSON, also if it says that the change failed. Raises
        `ProxyError`."""
        try:
            return json.loads(await self._ask("POST", path))
        except ValueError:
            raise ProxyError(f"the proxy's answer to {path} is no JSON") from None
        finally:
            self._kept.clear()  # at the end: an answer that came meanwhile may say how it was before

    async def _ask(self, method: str, path: str) -> str:
        if self._path is None:
            raise ProxyError("the console runs without a proxy")
        timeout = aiohttp.ClientTimeout(total=ASK_S)
        try:
            async with (
                aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(self._path)), timeout=timeout) as session,
                session.request(method, f"http://proxy{path}") as answer,
            ):
                return await answer.text()
        except (aiohttp.ClientError, OSError, TimeoutError):
            raise ProxyError("the proxy does not answer") from None
