"""Handles waiting: keep-alives for a client that waits, and the time limit of all attempts."""

from __future__ import annotations

import msgspec

from guardproxy.exchange.gate.notes import Notes
from guardproxy.exchange.inputs.setting import Setting
from guardproxy.exchange.inputs.transcript import Command
from guardproxy.exchange.phases.client import Client
from guardproxy.exchange.routes.attempts import Answer, Attempts


class Patience(msgspec.Struct):
    """Limits how long the driver waits for the next input, and sends keep-alives meanwhile."""

    setting: Setting
    notes: Notes
    client: Client
    attempts: Attempts
    _kept_alive_s: float = 0.0  # when the last keep-alive was sent

    def wait_s(self, answer: Answer, at_s: float) -> float | None:
        """Seconds that the driver may wait before it sends `Waited`; `None`: no limit."""
        if self.attempts.retry is None and not self.notes.stream and not answer.held.listens:
            return None
        waits = [self._next_keep_alive_s()] if self._is_quiet(answer) else []
        if (deadline_s := self._deadline_s()) is not None:
            waits.append(deadline_s)
        return max(0.0, min(waits) - at_s) if waits else None

    def is_over(self, at_s: float) -> bool:
        """Whether the time for further attempts is over."""
        deadline_s = self._deadline_s()
        return deadline_s is not None and at_s >= deadline_s

    def keep_alive(self, answer: Answer, at_s: float) -> list[Command]:
        """Sends a keep-alive event, which the client ignores, if the client has received nothing for too long."""
        if not self._is_quiet(answer) or at_s < self._next_keep_alive_s():
            return []
        self._kept_alive_s = at_s
        self.notes.measures.signs += 1
        return self.client.send(self.setting.codec.keep_alive(), at_s)

    def _is_quiet(self, answer: Answer) -> bool:
        """Whether the client waits for a stream that is held back, or for messages that nobody announces."""
        if answer.held.listens:
            return True
        if not self.notes.stream:
            return False
        if answer.status is None:
            # Before the first answer nobody knows whether it will be a stream, so no head can be sent.
            return bool(self.attempts.earlier) and self.notes.streamed
        return answer.streamed and answer.held.extent != "none"

    def _next_keep_alive_s(self) -> float:
        """The time of the next keep-alive."""
        answered_s = self.notes.measures.times["upstream_answered"]
        return max(self._kept_alive_s, answered_s) + self.setting.limits.quiet_s

    def _deadline_s(self) -> float | None:
        """The time at which further attempts must be over; `None` if no further attempt is under way."""
        retry = self.attempts.retry
        # Once text has left, or the fallback was asked, no other answer can follow: the deadline would only take this
        # one away.
        if retry is None or self.client.has_text or self.attempts.fell_back:
            return None
        return self.notes.measures.times["received"] + retry.total_s
