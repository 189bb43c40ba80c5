"""The limits of policies that count a request, for `policy explain`.

In: policies, a scene. Out: each limit, and what the request reserves of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from guardproxy.errors import DownstreamError
from guardproxy.gateway import Head, LimitSet, UsageLimits
from guardproxy.policy import MICRO, PolicySet, RawExchange, RequestFacts, Texts, Unit, limit_words
from guardproxy.policytest.scenes import codec_of, request_of


@dataclass(frozen=True, slots=True)
class CountedLimit:
    """A limit that counts a request. `takes`: what the request reserves, in `unit`; `None` for the cost of a model for which
    the policies have no price. `words`: what the limit allows."""

    policy: str
    limit: str
    unit: Unit
    takes: int | float | None
    mode: Literal["enforce", "shadow"]
    words: str


def counted_limits(policies: PolicySet, scene: Texts | RawExchange, facts: RequestFacts) -> tuple[CountedLimit, ...]:
    """Returns the limits of policies that count the request of a scene."""
    duty = UsageLimits(LimitSet, 0.0, lambda limit, mode: None, lambda: policies)
    served = facts.formats.served(facts.route)
    route = served.route.text if served else facts.route
    body = request_of(scene, facts, streamed=False)
    try:
        request = codec_of(facts).read_request(facts.route.partition(" ")[2], "", body)
    except DownstreamError:  # the exchange refuses it
        return ()
    head = Head("explain", route=route, tenant=facts.tenant, tenant_name=facts.tenant, headers=facts.headers)
    return tuple(
        CountedLimit(
            rule.policy,
            rule.name,
            rule.unit,
            _in_unit(units, rule.unit),
            "shadow" if rule.is_shadow else "enforce",
            limit_words(rule),
        )
        for rule, units in duty.counted(head, request)
    )


def _in_unit(units: int | None, unit: Unit) -> int | float | None:
    """Returns an amount in its unit. Limits count money in millionths."""
    return units / MICRO if units is not None and unit == "cost" else units
