"""What happens while the shared store cannot be reached.

In: calls. Out: answers of the store. While it is away: none (`closed`), those of an empty store (`open`), or those of a
store in the memory of this process (`local`). Kept: the time until which the store is not asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from guardproxy.errors import StoreError
from guardproxy.gateway.store import Answer, Call, Store
from guardproxy.gateway.store.memory import MemoryStore

Down = Literal["closed", "open", "local"]
PAUSE_S = 1.0  # no request waits for a store that did not answer a moment ago


class Failover:
    """A store with a substitute. `down`: what happens while it is away. `clock`: returns seconds and never goes back.
    `notice(message)`: is called when the store goes away (with the reason) and when it comes back (with an empty text)."""

    def __init__(self, store: Store, down: Down, clock: Callable[[], float], notice: Callable[[str], None]) -> None:
        self._store = store
        self._down = down
        self._clock = clock
        self._notice = notice
        self._local = MemoryStore(clock)
        self._until_s = float("-inf")
        self._is_away = False

    async def perform(self, calls: Sequence[Call]) -> tuple[Answer, ...]:
        """See `Store.perform`."""
        if self._clock() < self._until_s:
            return await self._substitute(calls)
        try:
            answers = await self._store.perform(calls)
        except StoreError as error:
            self._until_s = self._clock() + PAUSE_S
            if not self._is_away:
                self._notice(str(error))
            self._is_away = True
            return await self._substitute(calls)
        if self._is_away:
            self._notice("")
        self._is_away = False
        return answers

    async def _substitute(self, calls: Sequence[Call]) -> tuple[Answer, ...]:
        match self._down:
            case "closed":
                raise StoreError("the state cannot be reached")
            case "open":
                return await MemoryStore(self._clock).perform(calls)
            case "local":  # pragma: no branch - it is one of these three
                return await self._local.perform(calls)
