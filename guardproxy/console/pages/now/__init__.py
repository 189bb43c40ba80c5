"""The page Now: what the proxy does at this moment, and what is wrong with it.

| module | content |
|---|---|
| `causes` | what is wrong, with the settings that mend it |
| `numbers` | the figures of the last 5 minutes, hour or day |
| `refusals` | refusals with their reason in words |
| `first_request` | how to send the first request |
| `following` | sends the page again whenever it changes |
| `board` | what the page shows at a moment, shared by all who look |
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from aiohttp import web

from guardproxy.console.contract import EVERYBODY, Page, PageRoute, Visit
from guardproxy.console.drift_watch import DriftWatch
from guardproxy.console.pages.now.board import NowBoard
from guardproxy.console.pages.now.following import changes
from guardproxy.console.pages.now.numbers import WINDOWS

LIMIT_STREAMS = 64


def board_of(visit: Visit) -> NowBoard:
    """Returns the board that all visits share."""
    shared = visit.console.shared
    if (board := shared.get("now")) is None:
        drift = shared.setdefault("drift", DriftWatch(visit.console.audit))
        board = shared["now"] = NowBoard(visit.console, drift)
    return board


def _window(visit: Visit) -> str:
    asked = visit.query.get("window", "")
    return asked if asked in WINDOWS else next(iter(WINDOWS))


async def _show(visit: Visit) -> web.StreamResponse:
    window = _window(visit)
    return visit.render("now/page.html", view=await board_of(visit).view(window), windows=WINDOWS)


async def _live(visit: Visit) -> web.StreamResponse:
    """Sends what the page shows whenever it changes."""
    board, window = board_of(visit), _window(visit)
    if board.streams >= LIMIT_STREAMS:
        raise web.HTTPServiceUnavailable(text="Too many pages follow the proxy. Load the page to see its state.")
    board.streams += 1
    try:
        async with visit.events() as stream:

            async def made() -> str:
                return visit.text("now/live.html", view=await board.view(window), windows=WINDOWS)

            async for text in changes(made, time.monotonic, asyncio.sleep):
                await (stream.stay() if text is None else stream.send(text))
    finally:
        board.streams -= 1
    return stream.response


async def _drift(visit: Visit) -> web.StreamResponse:
    """Compares the traffic again."""
    board_of(visit)
    visit.console.shared["drift"].again()
    return visit.see_other("now")


PAGE = Page(
    name="now",
    title="Now",
    key="n",
    roles=EVERYBODY,
    routes=(
        PageRoute("GET", "", _show, EVERYBODY, writes=False),
        PageRoute("GET", "/live", _live, EVERYBODY, writes=False),
        PageRoute("POST", "/drift", _drift, EVERYBODY, writes=False),
    ),
    templates=Path(__file__).parent / "templates",
    summary="What the proxy does at this moment, and what is wrong with it.",
)
