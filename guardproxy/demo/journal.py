"""A journal of the requests that a demo upstream received, for tests and demos.

Kept: the newest requests, up to a limit. One loop writes; any thread may read, or wait for a condition on the list.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Literal, TypeVar

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class ReceivedRequest:
    """A received request. It is not frozen, because its end is not known when it arrives.

    `headers`: with lower-case names. `tree`: the parsed body, or `None`. `ended`: `answered` if the whole answer was
    sent, `gone` if the peer left before. `ended_s`: the time of its end on the monotonic clock.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    tree: Any = None
    started_s: float = field(default_factory=monotonic)
    ended: Literal["", "answered", "gone"] = ""
    ended_s: float = 0.0


class Journal:
    """The received requests, oldest first, at most `limit` of them. `notice`: is called with each request, on the
    server's loop."""

    def __init__(self, limit: int = 1000, notice: Callable[[ReceivedRequest], None] | None = None) -> None:
        self._entries: deque[ReceivedRequest] = deque(maxlen=limit)
        self._notice = notice
        self._changed = threading.Condition()

    def add(self, request: ReceivedRequest) -> None:
        """Adds a request."""
        with self._changed:
            self._entries.append(request)
            self._changed.notify_all()
        if self._notice:
            self._notice(request)

    def end(self, request: ReceivedRequest, how: Literal["answered", "gone"]) -> None:
        """Records that the request was answered, or that its peer left."""
        with self._changed:
            request.ended, request.ended_s = how, monotonic()
            self._changed.notify_all()

    def all(self) -> list[ReceivedRequest]:
        """Returns a copy of the list."""
        with self._changed:
            return list(self._entries)

    def clear(self) -> None:
        """Removes all requests."""
        with self._changed:
            self._entries.clear()

    def wait(self, look: Callable[[list[ReceivedRequest]], T], timeout_s: float = 60.0) -> T:
        """Waits until `look` returns a true value for the list, and returns that value. Must not be called on
        the loop's thread. Raises `TimeoutError`."""
        results: list[T] = []

        def is_true() -> bool:
            results[:] = [look(list(self._entries))]
            return bool(results[0])

        with self._changed:
            if not self._changed.wait_for(is_true, timeout_s):
                raise TimeoutError(f"not seen within {timeout_s} s; {len(self._entries)} requests in the journal")
        return results[0]
