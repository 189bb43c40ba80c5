"""The stage of the sections `route`: chooses where a request goes.

Out: the plan of its first attempt, and the further destinations, in `Attempts`; the choices, in the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from guardproxy.events import Event
from guardproxy.exchange.phases.stage import RequestDraft
from guardproxy.exchange.routes.routing import Asked, choose, measured
from guardproxy.policy import ROUTE, BoundRules, BoundSection, RouteSection


@dataclass(frozen=True, slots=True)
class RouteStage:
    """Chooses the destination of a request. `sections`: those that apply to it."""

    sections: tuple[BoundSection[RouteSection], ...]

    @classmethod
    def of(cls, bound: BoundRules) -> RouteStage | None:
        """Returns the stage of a set of rules; `None` if no policy has the section."""
        sections = ROUTE.bound(bound.sections)
        return cls(sections) if sections else None

    def amend(self, draft: RequestDraft) -> None:
        """Chooses where a request goes."""
        setting, ledger, attempts, request = draft.setting, draft.ledger, draft.attempts, draft.request
        walk: Callable[[], Sequence[Event]] = (lambda: draft.events) if ledger.request.read else request.events
        asked = Asked(
            exchange=setting.id,
            conversation=ledger.notes.conversation,
            client=f"{setting.tenant}\0{setting.client.name}",
            model=request.model,
            plan=ledger.notes.plan,
            measures=lambda most: setting.history.measures(lambda: measured(walk(), draft.statement, most)),
            about=lambda: draft.about,
            unavailable=draft.happened.unavailable,
        )
        ledger.choices = choose(self.sections, asked)
        if deciding := next((choice for choice in ledger.choices if choice.enforced), None):
            attempts.plan, *further = deciding.plans
            ledger.notes.plan = attempts.plan
            attempts.failover = deciding.failover(further)
