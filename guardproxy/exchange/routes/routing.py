"""Chooses where a request goes: applies the sections `route` of the policies.

In: the sections that apply to a request, its facts, and the upstreams that cannot be asked now. Out: a `RouteChoice` for each
section; the first enforced one decides. A choice is a function of these values alone: the share that a request belongs to is a
digest of its conversation, its client or its id.

Decision: docs/decisions/0050-a-route-is-chosen-inside-the-exchange.md
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from guardproxy.audit.record import RecordedPlan, RecordedRoute
from guardproxy.conditions import FEATURES, UNIT, RequestFeatures
from guardproxy.decisions import UNPLANNED, Plan
from guardproxy.events import Event, Opaque, Text
from guardproxy.exchange.gate.notes import TokenCount
from guardproxy.exchange.routes.failover import FurtherDestinations
from guardproxy.policy import About
from guardproxy.policy.sections import BoundSection, Destination, RouteSection
from guardproxy.wire import RequestStatement

_MILLION = 1e6
_COUNTED = frozenset(("system", "user", "assistant", "tool_result", "tool_arguments", "reasoning"))
# How lines of code begin in common languages. A sentence that begins so only costs the larger model.
_CODE = ("def ", "class ", "import ", "#include", "function ", "SELECT ", "public ", "const ", "<?php")

Measures = Mapping[str, int]
"""Measures of difficulty: the `chars`, `messages` and `tools` of a request, whether it has `code` (0 or 1; missing in a long
request), the number of its parts that are no text (`media`), and if the model of difficulty was asked, the features of what the
user said last (`feature_1` and so on)."""
_FEATURE = "feature_"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a choice depends on. `exchange`: the id; `client`: the pseudonym and the name of the client; `model`: as the
    client names it; `plan`: of the duties. `measures`: returns the measures of difficulty, for the most characters of a simple
    request and whether the model of difficulty is asked; `about`: returns the facts for conditions; both take time, so they are
    called only if a section needs them. `unavailable`: the upstreams that cannot be asked now. `difficulty`: the model, if a
    policy names it."""

    exchange: str
    conversation: str
    client: str
    model: str
    plan: Plan
    measures: Callable[[int, bool], Measures]
    about: Callable[[], About]
    unavailable: tuple[str, ...] = ()
    difficulty: RequestFeatures | None = None


@dataclass(frozen=True, slots=True)
class RouteChoice:
    """What a section decides. `plans`: where the request goes, and where it goes next after a failure; each has everything
    that the request gets there. `measures`: empty if the section has no `simple`. `passed_over`: the upstreams that were
    moved to the end because they cannot be asked now. `planned`: the plan of the duties."""

    policy: str
    route: RouteSection
    enforced: bool
    plans: tuple[Plan, ...]
    is_simple: bool = False
    measures: Measures = field(default_factory=dict)
    passed_over: tuple[str, ...] = ()
    planned: Plan = UNPLANNED

    def failover(self, further: Sequence[Plan]) -> FurtherDestinations:
        """Returns the further destinations, for failures."""
        return FurtherDestinations(list(further), self.route.fallback.on, self.route.fallback.attempts)

    def recorded(self, final: Plan, tokens: TokenCount | None) -> RecordedRoute:
        """Returns the choice as a record holds it. `final`: where the request went in the end; `tokens`: those of its answer,
        `None` without one."""
        first, simple = self.plans[0], self.route.simple
        saved = None
        if self.is_simple and simple and tokens and (final is first or not self.enforced):
            prompt = (tokens.total - tokens.answer) * simple.saves_input
            saved = round((prompt + tokens.answer * simple.saves_output) / _MILLION, 9)
        return RecordedRoute(
            policy=self.policy,
            mode="enforce" if self.enforced else "shadow",
            upstream=first.upstream,
            model=first.model,
            next=tuple(_shown(plan) for plan in self.plans[1:]),
            simple=self.is_simple,
            measures=dict(self.measures),
            passed_over=self.passed_over,
            saved=saved,
            duties=recorded_plan(self.planned),
        )


def recorded_plan(plan: Plan) -> RecordedPlan | None:
    """Returns a plan as a record holds it; `None` if it changes nothing."""
    if plan.is_empty:
        return None
    parameters = dict(plan.parameters)
    return RecordedPlan(upstream=plan.upstream, model=plan.model, parameters=parameters, reason=plan.reason)


def choose(sections: Sequence[BoundSection[RouteSection]], asked: Asked) -> tuple[RouteChoice, ...]:
    """Returns a choice for each section in shadow mode, and for the first enforced one. `sections`: in the order of the
    names of their policies."""
    deciding = next((section for section in sections if section.enforced), None)
    return tuple(_choice(section, asked) for section in sections if section is deciding or not section.enforced)


def _choice(section: BoundSection[RouteSection], asked: Asked) -> RouteChoice:
    route = section.value
    measures = asked.measures(route.simple.chars, route.simple.difficulty is not None) if route.simple else {}
    destinations = _ordered(route, asked)
    is_simple = route.simple is not None and _is_simple(route, measures, asked)
    if is_simple and route.simple:
        simple = route.simple.destination
        rest = (place for place in destinations if (place.upstream, place.model) != (simple.upstream, simple.model))
        destinations = [simple, *rest]
    available = [place for place in destinations if place.upstream not in asked.unavailable]
    passed_over = [place for place in destinations if place.upstream in asked.unavailable]
    ordered = [*available, *passed_over]
    # Nothing is saved if the destination of simple requests cannot be asked now.
    is_simple = is_simple and ordered[0] is destinations[0]
    reason = f"route of the policy `{section.policy}`" + (": a simple request" if is_simple else "")
    plans = tuple(_planned(ordered, route, asked, reason))
    names = tuple(dict.fromkeys(place.upstream for place in passed_over))
    return RouteChoice(section.policy, route, section.enforced, plans, is_simple, measures, names, asked.plan)


def _is_simple(route: RouteSection, measures: Measures, asked: Asked) -> bool:
    simple = route.simple
    if simple is None or measures["chars"] > simple.chars or measures["messages"] > simple.messages:
        return False
    if measures["media"] or (measures["tools"] and not simple.tools) or (measures.get("code", 1) and not simple.code):
        return False
    if simple.difficulty is not None and _difficulty(measures, asked, simple.weights) > simple.difficulty:
        return False
    return simple.when is None or simple.when.holds(asked.about()) is True


def _difficulty(measures: Measures, asked: Asked, weights: Sequence[float]) -> float:
    """How hard a request is, 0 to 1. One whose features are not known is as hard as can be."""
    if asked.difficulty is None or f"{_FEATURE}1" not in measures:
        return 1.0
    return (
        asked.difficulty.score([measures[f"{_FEATURE}{number}"] for number in range(1, FEATURES + 1)], weights) / UNIT
    )


def _ordered(route: RouteSection, asked: Asked) -> list[Destination]:
    """The destinations by priority, and within a priority by a digest that gives each its share of the requests."""
    if len(route.destinations) == 1:
        return list(route.destinations)
    what = {"conversation": asked.conversation, "client": asked.client, "none": asked.exchange}[route.sticky]
    return sorted(
        route.destinations,
        key=lambda place: (place.priority, rank(f"{route.sticky}\0{what}", place), place.upstream, place.model),
    )


def rank(key: str, place: Destination) -> float:
    """Returns the rank of a destination for a key; the lowest is chosen. The shares of the keys are those of the weights, in
    whatever order the destinations stand, and a further destination takes keys from the others without moving any between
    them (weighted rendezvous hashing)."""
    data = f"{key}\0{place.upstream}\0{place.model}".encode("utf-8", "surrogatepass")
    number = int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")
    return -math.log((number + 1) / 2**64) / place.weight


def _planned(places: Sequence[Destination], route: RouteSection, asked: Asked, reason: str) -> Iterator[Plan]:
    """The plans of destinations. What a duty decided stays; without models of their own, all get the same model."""
    duties = asked.plan
    # A duty has decided where the request goes, so a failure leads nowhere else.
    if duties.upstream:
        places = places[:1]
    alias = route.alias(asked.model) if asked.model else ""
    models = [duties.model or place.model or alias for place in places]
    # If one destination gets another model, the others must get the request's own back.
    own = asked.model if any(models) else ""
    reasons = "; ".join(filter(None, (duties.reason, reason)))
    for place, model in zip(places, models, strict=True):
        yield Plan(duties.upstream or place.upstream, model or own, duties.parameters, reasons, duties.priority)


def _shown(plan: Plan) -> str:
    return f"{plan.upstream or '-'} {plan.model}".rstrip()


def measured(
    events: Iterable[Event], statement: RequestStatement, most_chars: int, difficulty: RequestFeatures | None = None
) -> Measures:
    """Returns the measures of a request. `events`: all of its texts; `statement`: what its other fields say; `most_chars`: a
    longer request is not simple, so its texts are not read; `difficulty`: the model, if it is asked."""
    texts: list[str] = []
    asked: list[str] = []
    media = 0
    for event in events:
        if isinstance(event, Text):
            if event.channel.kind in _COUNTED and not event.key and not event.fixed:
                texts.append(event.text)
                # What the user said last: the texts behind the last one of anybody else.
                asked = [*asked, event.text] if event.channel.kind == "user" else []
        elif isinstance(event, Opaque):
            media += len(event.uninspected)
    chars = sum(map(len, texts))
    tools = len(statement.tools) or len(statement.offered)
    measures = {"chars": chars, "messages": statement.messages, "tools": tools, "media": media}
    if chars > most_chars:
        return measures
    measures["code"] = int(any(map(has_code, texts)))
    if difficulty is not None and asked:
        features = difficulty.of("\n".join(asked))
        measures |= {f"{_FEATURE}{number}": feature for number, feature in enumerate(features, 1)}
    return measures


def has_code(text: str) -> bool:
    """Whether a text has a block of code, or a line that begins like code."""
    return "```" in text or any(line.lstrip(" \t").startswith(_CODE) for line in text.splitlines())
