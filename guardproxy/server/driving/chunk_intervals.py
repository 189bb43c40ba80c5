"""Measures the time between two pieces of a stream, as its client gets them.

In: the moments at which pieces are sent. Out: observations of a histogram. Kept: the time of the last piece.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from guardproxy.exchange import SendHead


class Pieces:
    """The pieces of one answer. `observe(duration_s)`: takes the time between two of them."""

    __slots__ = ("_last_s", "_observe")

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe = observe
        self._last_s = 0.0  # 0: no piece to measure from

    def sent(self, head: SendHead | None) -> None:
        """Measures the time since the last piece. An answer that is no stream is not measured. `head`: of the answer."""
        if head is None or not head.streamed:
            return
        now_s = time.perf_counter()
        if self._last_s:
            self._observe(now_s - self._last_s)
        self._last_s = now_s

    def pause(self) -> None:
        """Leaves out the time until the next piece, as a keep-alive came before it, which is no piece of the answer."""
        self._last_s = 0.0
