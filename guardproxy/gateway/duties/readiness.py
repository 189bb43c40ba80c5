"""Refuses requests while the proxy cannot serve them as promised."""

from __future__ import annotations

from collections.abc import Callable

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.gateway.duties.duty import Duty, Head


class Readiness(Duty):
    """Checks the state of the proxy. `is_draining`: whether it shuts down. `is_recording`: whether records can be
    kept."""

    name = "readiness"

    def __init__(self, is_draining: Callable[[], bool], is_recording: Callable[[], bool]) -> None:
        self._is_draining = is_draining
        self._is_recording = is_recording

    def admit(self, head: Head) -> Head:
        """Returns the head unchanged. Raises `DownstreamError` (503)."""
        if self._is_draining():
            raise DownstreamError(ErrorCode.SHUTTING_DOWN)
        if not self._is_recording():
            raise DownstreamError(ErrorCode.AUDIT_UNAVAILABLE)
        return head
