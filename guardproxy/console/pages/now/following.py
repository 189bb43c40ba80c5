"""Follows what a page shows: a text again whenever it is another one.

In: what makes the text, a clock. Out: the texts to send. Each is the whole of what is shown, so that a page that was away
misses nothing and never grows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

REFRESH_S = 2.0
ALIVE_S = 15.0  # between two signs of life
FOLLOW_S = 120.0
"""After this time a page connects again, and its session is looked at again."""


async def changes(
    made: Callable[[], Awaitable[str]], clock: Callable[[], float], pause: Callable[[float], Awaitable[object]]
) -> AsyncIterator[str | None]:
    """Yields a text whenever it has changed, and `None` when nothing was sent for `ALIVE_S`. `clock`: returns seconds; `pause`:
    waits for some seconds."""
    sent, end_s = "", clock() + FOLLOW_S
    sent_s = clock()
    while True:
        text = await made()
        if text != sent:
            sent, sent_s = text, clock()
            yield text
        elif clock() - sent_s >= ALIVE_S:
            sent_s = clock()
            yield None
        if clock() >= end_s:
            return
        await pause(REFRESH_S)
