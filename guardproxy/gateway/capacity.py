"""Refuses requests while as many exchanges are under way as there may be."""

from __future__ import annotations

from typing import Protocol

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.gateway.duty import Duty, Head


class Slots(Protocol):
    """How many exchanges may still begin."""

    draining: bool

    def full(self) -> bool:
        """Whether none may begin now."""
        ...

    def take(self) -> bool:
        """Takes a slot for the exchange of the current task; false where none is free."""
        ...


class Capacity(Duty):
    """Looks before a body is read, and `take`s the slot when it is there: a slow body holds no slot."""

    name = "capacity"

    def __init__(self, slots: Slots) -> None:
        self._slots = slots

    def admit(self, head: Head) -> Head:
        """The head. Raises `DownstreamError` (503)."""
        if self._slots.full():
            raise _full()
        return head

    def take(self) -> None:
        """Takes a slot for the current task. Raises `DownstreamError` (503)."""
        if not self._slots.take():
            raise _full()


def _full() -> DownstreamError:
    return DownstreamError(ErrorCode.NO_CAPACITY)
