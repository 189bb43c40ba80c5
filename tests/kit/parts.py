"""The parts of an exchange, put together as `Exchange` does, for tests of one part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from guardproxy.exchange.phases.answer import new_answer
from guardproxy.exchange.phases.client import Client
from guardproxy.exchange.phases.guard import Guard
from guardproxy.exchange.phases.keep_alive import Patience
from guardproxy.exchange.phases.ledger import Ledger
from guardproxy.exchange.routes.attempts import Answer, Attempts
from guardproxy.policy.deciding.evaluate import PolicySet
from tests.kit.play import CHAT, setting


@dataclass(frozen=True)
class Parts:
    """The parts of one exchange. `bound` are the rules for a request to the model `m`."""

    guard: Guard
    attempts: Attempts
    answer: Answer
    ledger: Ledger
    client: Client
    patience: Patience


def parts(policies: PolicySet, route: str = CHAT, *, is_bound: bool = True, **more: Any) -> Parts:
    """The parts. `is_bound`: the request was read."""
    about = setting(policies, route, **more)
    guard = Guard(about)
    if is_bound:
        guard.bind(policies.bind(route, "m", "tenant"), guard.shapes, acts=False)
    attempts, answer = Attempts(about.codec), new_answer(guard, 0.0)
    ledger = Ledger(about, guard, attempts, guard.side(), answer)
    client = Client(about, guard, ledger)
    return Parts(guard, attempts, answer, ledger, client, Patience(about, ledger.notes, client, attempts))
