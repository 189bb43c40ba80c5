"""Finds out whether the limits of a policy refuse the request of a test.

In: policies, a scene, what was taken before. Out: the limits that refuse it. The request passes through the duty that serves
traffic, with a store of its own and at one moment, so that nothing is given back between two requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from msgspec import structs

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.gateway import Head, LimitSet, Steps, UsageLimits
from guardproxy.gateway.store import Answer, Call, MemoryStore, Take
from guardproxy.policy import PolicySet
from guardproxy.policy.usage import LimitRule, limit_words
from guardproxy.policy.values import ANY_LIMIT, NO_LIMIT, RawExchange, RequestFacts, Texts
from guardproxy.policytest.mismatches import Mismatch
from guardproxy.policytest.scenes import codec_of, request_of
from guardproxy.wire import Request

_HOLD_S = 3600.0
_BEFORE = "before"  # in the store, the exchange that took what was used before


@dataclass(frozen=True, slots=True)
class LimitVerdict:
    """What limits do with the last of some equal requests. `refusing`: the limits that refuse it. `shadow`: those that would,
    if they were not in shadow mode. `counted`: what each limit that counts it allows. `trouble`: why the request is refused
    before a limit counts it."""

    refusing: tuple[str, ...] = ()
    shadow: tuple[str, ...] = ()
    counted: tuple[str, ...] = ()
    trouble: str = ""


def limit_verdict(
    policies: PolicySet, scene: Texts | RawExchange, facts: RequestFacts, times: int, used: Mapping[str, int | None]
) -> LimitVerdict:
    """Sends the request of a scene `times` times at once. `used`: what was taken of limits before, by name; `None`: all."""
    duty, store = UsageLimits(LimitSet, _HOLD_S, lambda limit, mode: None, lambda: policies), MemoryStore(lambda: 0.0)
    served = facts.formats.served(facts.route)
    route, path = served.route.text if served else facts.route, facts.route.partition(" ")[2]
    head = Head("0", route=route, tenant=facts.tenant, tenant_name=facts.tenant, headers=facts.headers)
    try:
        request = codec_of(facts).read_request(path, "", request_of(scene, facts, streamed=False))
        rules = [rule for rule, units in duty.counted(head, request) if units is not None]
        before = {f"limits:{rule.label}:": _level(rule, used.get(rule.name, 0)) for rule in rules}
        for number in range(times):
            head = head.changed(id=str(number))
            _send(duty, head, request, store, {} if number else before)
    except DownstreamError as error:
        return LimitVerdict(trouble=str(error))
    refusals = duty.refusals(head)
    return LimitVerdict(
        tuple(refusal.name for refusal in refusals if refusal.enforced),
        tuple(refusal.name for refusal in refusals if not refusal.enforced),
        tuple(map(limit_words, rules)),
    )


def _level(rule: LimitRule, units: int | None) -> int:
    """Returns the level of a limit of which so much was taken; `None`: all."""
    return rule.most if units is None else min(rule.most, rule.used(units))


def _send(duty: UsageLimits, head: Head, request: Request, store: MemoryStore, before: Mapping[str, int]) -> None:
    """Sends a request. `before`: the levels of the limits, by the beginnings of their keys. Raises `DownstreamError` for a
    refusal that is not one of a limit."""
    try:
        steps = cast("Steps[None] | None", duty.plan(head, request))
        if steps is None:
            return
        calls = cast("tuple[Take, ...]", next(steps))
        taken = [
            structs.replace(take, id=_BEFORE, amount=level, binding=False)
            for take in calls
            for key, level in before.items()
            if level and take.key.startswith(key)
        ]
        _answers(store, taken)
        steps.send(_answers(store, calls))
    except StopIteration:
        pass
    except DownstreamError as error:
        if error.code == ErrorCode.OUT_OF_SCOPE or not any(refusal.enforced for refusal in duty.refusals(head)):
            raise


def _answers(store: MemoryStore, calls: Sequence[Call]) -> tuple[Answer, ...]:
    """Returns the answers of a store in memory, which never waits."""
    try:
        store.perform(calls).send(None)
    except StopIteration as done:
        return cast("tuple[Answer, ...]", done.value)
    raise AssertionError


def refusal_mismatches(wanted: str, verdict: LimitVerdict, times: int) -> Iterator[Mismatch]:
    """Yields a mismatch if the request is refused or not as a test expects (`Expectation.refused`)."""
    found = f"refused by {_names(verdict.refusing)}" if verdict.refusing else "not refused"
    is_met = (
        not verdict.refusing
        if wanted == NO_LIMIT
        else bool(verdict.refusing)
        if wanted == ANY_LIMIT
        else wanted in verdict.refusing
    )
    if verdict.trouble:
        yield Mismatch(f"the request is refused before a limit counts it: {verdict.trouble}")
    elif not is_met:
        which = "no limit" if wanted == NO_LIMIT else "a limit" if wanted == ANY_LIMIT else f"the limit `{wanted}`"
        last = f"request {times}" if times > 1 else "the request"
        shadow = f"; in shadow mode, {_names(verdict.shadow)} would refuse it" if verdict.shadow else ""
        counted = "\n".join(verdict.counted) or "no limit counts the request"
        yield Mismatch(f"expected {which} to refuse {last}; it is {found}{shadow}", got=counted)


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
