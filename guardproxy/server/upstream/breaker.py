"""The circuit breaker of one upstream: stops sending requests to an upstream that fails.

In: the result of each request, with the time. Out: whether the next request may be sent. It is a pure state machine: the
caller passes the time, in seconds of any monotonic clock.

    closed ---- failures ----> open ---- open_s is over ----> half-open
      ^                          ^                               |
      |                          +---- the one probe failed -----+
      +--------------------------------- the one probe was answered

- Closed: every request is sent. The breaker opens after `failures` failures in a row, or when at least `share` of the
  requests that ended in the last `window_s` failed and these were at least `least`. A failure that a request can cause (a
  status of 500, an answer that does not come) counts with its client: it opens the breaker only if at least `share` of the
  clients of the last `window_s` fail, and two of them at least unless there is only one. So one client whose requests make
  the upstream fail does not take it from the others. A failure that no request can cause (no connection) counts at once.
- Open: no request is sent. Each opening without an answer in between doubles the time, up to `open_limit_s`.
- Half-open: exactly one request is sent, the probe. An answer closes the breaker, a failure opens it again. A probe that
  tells nothing (the client left) makes room for the next one.

A result of a request that was sent before the breaker last changed its state is ignored.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Literal

import msgspec

State = Literal["closed", "open", "half_open"]
Result = Literal["answered", "failed", "unknown"]
"""What a request shows about the upstream: it works (`answered`), it fails (`failed`), or neither (`unknown`: a refusal that a
client caused, a client that left)."""

LIMIT_CLIENTS = 1000  # clients of an upstream whose results are known
SLICES = 10  # slices of the window: the failure share is exact to a tenth of `window_s`


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The conditions under which a breaker opens, and the time it stays open. `failures`: failures in a row; 0 switches the
    breaker off."""

    failures: int = 5
    share: float = 0.5
    least: int = 20
    window_s: float = 30.0
    open_s: float = 5.0
    open_limit_s: float = 60.0


class Ticket(msgspec.Struct, frozen=True):
    """The permission to send a request. `generation`: the number of state changes before it."""

    generation: int
    probe: bool = False


class Breaker:
    """The breaker of one upstream. Kept: the last result of each client of the window."""

    def __init__(self, thresholds: Thresholds) -> None:
        self._thresholds = thresholds
        self._generation = 0
        self._state: State = "closed"
        self._opened_s = 0.0
        self._openings = 0  # openings since the last answer of the upstream
        self._probing = False
        self._in_a_row = 0
        self._window: deque[list[int]] = deque()  # [number of the slice, requests, failures]
        # The time of the last result of each client, and whether it is a failure.
        self._clients: dict[str, tuple[float, bool]] = {}
        self._was_shared = False  # whether several clients used it when it opened
        self._failed_prober: str | None = None  # whose probe failed last

    def state(self, now_s: float) -> State:
        """The state at this time."""
        if self._state == "open" and now_s >= self._opened_s + self._open_s:
            return "half_open"
        return self._state

    def enter(self, now_s: float, client: str = "") -> Ticket | None:
        """The permission to send a request of a client; `None` if no request may be sent."""
        state = self.state(now_s)
        if state == "closed":
            return Ticket(self._generation)
        if state == "open" or self._probing:
            return None
        if self._was_shared and client == self._failed_prober and now_s < self._opened_s + 2 * self._open_s:
            return None  # another client goes first: the requests of this one may be the cause
        if self._state == "open":
            self._change("half_open")
        self._probing = True
        return Ticket(self._generation, probe=True)

    def wait_s(self, now_s: float) -> float:
        """The seconds a client should wait before it retries, after `enter` gave no permission."""
        if self._state == "open":
            return max(0.0, self._opened_s + self._open_s - now_s)
        return 1.0

    def leave(self, ticket: Ticket, result: Result, now_s: float, client: str | None = None) -> None:
        """Takes the result of a request. A ticket may be used twice: an answer that began well can break off later.
        `client`: whose request it was, if the request can be the cause of a failure; otherwise `None`."""
        # A request from before the last change says nothing about the upstream as it is now.
        if ticket.generation != self._generation:
            return
        if ticket.probe:
            # Whatever the result, the next probe has its turn. An unknown one changes nothing else.
            self._probing = False
            if result == "answered":
                self._openings = 0
                self._change("closed")
            elif result == "failed":
                self._failed_prober = client
                self._open(now_s)
            return
        if result == "unknown":
            return
        failed = result == "failed"
        self._in_a_row = self._in_a_row + 1 if failed else 0
        self._count(now_s, failed=failed)
        if client is not None:
            if client not in self._clients and len(self._clients) >= LIMIT_CLIENTS:
                del self._clients[next(iter(self._clients))]
            self._clients[client] = now_s, failed
        limits = self._thresholds
        if not limits.failures or not failed or (client is not None and not self._is_shared_failure(now_s)):
            return
        requests, failures = sum(part[1] for part in self._window), sum(part[2] for part in self._window)
        if self._in_a_row >= limits.failures or (requests >= limits.least and failures >= limits.share * requests):
            self._was_shared, self._failed_prober = len(self._clients) > 1, None
            self._open(now_s)

    def _count(self, now_s: float, *, failed: bool) -> None:
        """Adds a request to the window."""
        number = int(now_s * SLICES / self._thresholds.window_s)
        window = self._window
        while window and window[0][0] <= number - SLICES:
            window.popleft()
        if not window or window[-1][0] != number:
            window.append([number, 0, 0])
        window[-1][1] += 1
        window[-1][2] += failed

    def _is_shared_failure(self, now_s: float) -> bool:
        """Whether so many of the clients of the window fail that the upstream must be the cause."""
        oldest_s = now_s - self._thresholds.window_s
        clients = self._clients = {name: last for name, last in self._clients.items() if last[0] >= oldest_s}
        failing = sum(failed for _, failed in clients.values())
        return failing >= max(min(2, len(clients)), math.ceil(self._thresholds.share * len(clients)))

    def _open(self, now_s: float) -> None:
        self._openings += 1
        self._opened_s = now_s
        self._change("open")

    @property
    def _open_s(self) -> float:
        doubled: float = self._thresholds.open_s * 2 ** min(self._openings - 1, 30)
        return min(doubled, self._thresholds.open_limit_s)

    def _change(self, state: State) -> None:
        self._state = state
        self._generation += 1
        self._probing = False
        self._in_a_row = 0
        # What was counted in one state says nothing about the next: half-open decides by its probe alone.
        self._window.clear()
        self._clients.clear()
