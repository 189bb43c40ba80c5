"""Tests the circuit breaker with requests, results and times in any order, against a small model of its rules."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from guardproxy.server.upstream.breaker import Breaker, Result, Thresholds, Ticket

FAILURES, OPEN_S = 3, 5.0


class Breaking(RuleBasedStateMachine):
    """Begins and ends requests, and lets time pass. The model knows only failures in a row."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(Thresholds(failures=FAILURES, least=10**6, open_s=OPEN_S, open_limit_s=OPEN_S))
        self.now_s = 0.0
        self.out: list[Ticket] = []
        self.current: list[Ticket] = []  # those sent since the breaker last changed its state
        self.in_a_row = 0
        self.state = "closed"
        self.opened_s = 0.0

    @rule(passed_s=st.floats(0, 2 * OPEN_S))
    def time_goes_by(self, passed_s: float) -> None:
        self.now_s += passed_s
        if self.state == "open" and self.now_s >= self.opened_s + OPEN_S:
            self.state = "half_open"
            self.current = []

    @rule()
    def a_request_comes(self) -> None:
        ticket = self.breaker.enter(self.now_s)
        allowed = self.state == "closed" or (self.state == "half_open" and not self.current)
        assert (ticket is not None) == allowed
        if ticket:
            assert ticket.probe == (self.state == "half_open")
            self.out.append(ticket)
            self.current.append(ticket)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), result=st.sampled_from(["answered", "failed", "unknown"]))
    def a_request_ends(self, data: st.DataObject, result: Result) -> None:
        ticket = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        self.breaker.leave(ticket, result, self.now_s)
        if ticket not in self.current:
            return
        self.current.remove(ticket)
        if self.state == "half_open":
            if result == "answered":
                self._becomes("closed")
            elif result == "failed":
                self._becomes("open")
        elif result != "unknown":
            self.in_a_row = self.in_a_row + 1 if result == "failed" else 0
            if self.in_a_row == FAILURES:
                self._becomes("open")

    def _becomes(self, state: str) -> None:
        self.state, self.current, self.in_a_row = state, [], 0
        if state == "open":
            self.opened_s = self.now_s

    @invariant()
    def the_states_are_the_same(self) -> None:
        assert self.breaker.state(self.now_s) == self.state

    @invariant()
    def it_never_stays_open(self) -> None:
        later = self.now_s + self.breaker.wait_s(self.now_s)
        assert self.state != "open" or self.breaker.state(later + 1e-6) == "half_open"


TestBreaking = Breaking.TestCase
