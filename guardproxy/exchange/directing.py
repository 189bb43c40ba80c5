"""Applies the choice of a route to an exchange.

In: the sections `route` that apply to a request, and what is known of the request. Out: the plan of its first attempt, and the
further destinations, in `Attempts`; the choices, in the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial

from guardproxy.events import Event
from guardproxy.exchange.attempts import Attempts
from guardproxy.exchange.ledger import Ledger
from guardproxy.exchange.routing import Asked, choose, measured
from guardproxy.exchange.setting import Setting
from guardproxy.exchange.transcript import RequestReceived
from guardproxy.gateway import about_of
from guardproxy.policy import BoundSection, RouteSection
from guardproxy.wire import Request, statement_of


def route(
    sections: Sequence[BoundSection[RouteSection]],
    setting: Setting,
    ledger: Ledger,
    attempts: Attempts,
    request: Request,
    happened: RequestReceived,
    events: Sequence[Event],
) -> None:
    """Chooses where a request goes. `events`: those that the gate got."""
    notes, history = ledger.notes, setting.history
    walk: Callable[[], Sequence[Event]] = (lambda: events) if ledger.request.read else request.events
    statement = cache(partial(statement_of, request.frame.tree, setting.codec.contract.statements))
    about = setting.address.route, setting.tenant_name, request
    asked = Asked(
        exchange=setting.id,
        conversation=notes.conversation,
        client=f"{setting.tenant}\0{setting.client.name}",
        model=request.model,
        plan=notes.plan,
        measures=lambda most: history.measures(lambda: measured(walk(), statement(), most)),
        about=lambda: about_of(*about, statement(), happened.headers),
        unavailable=happened.unavailable,
    )
    ledger.choices = choose(sections, asked)
    if deciding := next((choice for choice in ledger.choices if choice.enforced), None):
        attempts.plan, *further = deciding.plans
        notes.plan = attempts.plan
        attempts.failover = deciding.failover(further)
