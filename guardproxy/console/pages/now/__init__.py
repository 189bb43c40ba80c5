"""The page Now: what the proxy does at this moment, and what is wrong with it.

| module | content |
|---|---|
| `causes` | what is wrong, with the settings that mend it |
| `numbers` | the figures of the last 5 minutes, hour or day |
| `refusals` | refusals with their reason in words |
| `first_request` | how to send the first request |
| `board` | what the page shows at a moment, shared by all who look |
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiohttp import web
from guardproxy.console.contract import EVERYBODY, Page, PageRoute, Visit

from guardproxy.console.drift_watch import DriftWatch
from guardproxy.console.pages.now.board import NowBoard
from guardproxy.console.pages.now.numbers import WINDOWS

REFRESH_S = 2.0
ALIVE_S = 15.0
STREAM_S = 120.0  # after which a page connects again, and its session is looked at again
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
    """Sends what the page shows whenever it changes. Each message is the whole list, so that a page which was away for a while
    misses nothing, and never grows."""
    board, window = board_of(visit), _window(visit)
    if board.streams >= LIMIT_STREAMS:
        raise web.HTTPServiceUnavailable(text="Too many pages follow the proxy. Load the page to see its state.")
    loop = asyncio.get_running_loop()
    board.streams += 1
    try:
        async with visit.events() as stream:
            sent, sent_s, end_s = "", loop.time(), loop.time() + STREAM_S
            while loop.time() < end_s:
                text = visit.text("now/live.html", view=await board.view(window), windows=WINDOWS)
                if text != sent:
                    await stream.send(text)
                    sent, sent_s = text, loop.time()
                elif loop.time() - sent_s >= ALIVE_S:
                    await stream.stay()
                    sent_s = loop.time()
                await asyncio.sleep(REFRESH_S)
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
