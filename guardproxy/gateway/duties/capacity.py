"""Refuses requests while the maximum number of exchanges is open."""

from __future__ import annotations

from typing import Protocol

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.gateway.duties.duty import Duty, Head


class Slots(Protocol):
    """The free slots for exchanges. `draining`: whether the proxy shuts down."""

    draining: bool

    def is_full(self) -> bool:
        """Whether no slot is free."""
        ...

    def take(self) -> bool:
        """Takes a slot for the exchange of the current task; false if no slot is free."""
        ...


class Capacity(Duty):
    """Refuses a request before its body is read if no slot is free. `take` takes the slot after the body: a slow body
    must not hold a slot."""

    name = "capacity"

    def __init__(self, slots: Slots) -> None:
        self._slots = slots

    def admit(self, head: Head) -> Head:
        """Returns the head unchanged. Raises `DownstreamError` (503)."""
        if self._slots.is_full():
            raise _full()
        return head

    def take(self) -> None:
        """Takes a slot for the current task. Raises `DownstreamError` (503)."""
        if not self._slots.take():
            raise _full()


def _full() -> DownstreamError:
    return DownstreamError(ErrorCode.NO_CAPACITY)
