"""What an upstream received: requests go in as they come, tests and demos look at them.

Kept: the newest requests, bounded. One loop writes; any thread may read, or wait until something is true of the list.
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
    """One request. Not frozen, as its end is not known when it comes.

    `headers` have lower-case names. `tree`: the parsed body, or `None`. `ended`: `answered` when all was sent, `gone`
    when the peer went away before. `ended_s`: when, on the monotonic clock.
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
    """The requests received, oldest first, at most `limit` of them. `notice` is told of each, on the server's loop."""

    def __init__(self, limit: int = 1000, notice: Callable[[ReceivedRequest], None] | None = None) -> None:
        self._entries: deque[ReceivedRequest] = deque(maxlen=limit)
        self._notice = notice
        self._changed = threading.Condition()

    def add(self, received: ReceivedRequest) -> None:
        """A request has come."""
        with self._changed:
            self._entries.append(received)
            self._changed.notify_all()
        if self._notice:
            self._notice(received)

    def end(self, received: ReceivedRequest, how: Literal["answered", "gone"]) -> None:
        """The request was answered, or its peer went away."""
        with self._changed:
            received.ended, received.ended_s = how, monotonic()
            self._changed.notify_all()

    def all(self) -> list[ReceivedRequest]:
        """A copy of the list."""
        with self._changed:
            return list(self._entries)

    def clear(self) -> None:
        """Forgets all requests."""
        with self._changed:
            self._entries.clear()

    def wait(self, look: Callable[[list[ReceivedRequest]], T], timeout_s: float = 5.0) -> T:
        """The first true thing that `look` makes of the list. For threads other than the loop's.

        Raises `TimeoutError`.
        """
        found: list[T] = []

        def seen() -> bool:
            found[:] = [look(list(self._entries))]
            return bool(found[0])

        with self._changed:
            if not self._changed.wait_for(seen, timeout_s):
                raise TimeoutError(f"not seen within {timeout_s} s; {len(self._entries)} requests in the journal")
        return found[0]
