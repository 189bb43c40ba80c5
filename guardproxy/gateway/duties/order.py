"""Runs duties in order, for a live request or from a record.

In: a head, then a record. Out: the head after all duties, or the first refusal, and the store's answers up to there. Duties
after a refusal do not run.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType

import msgspec

from guardproxy import plugins
from guardproxy.audit import Record
from guardproxy.decisions import Plan
from guardproxy.errors import ConfigError, DownstreamError, ErrorCode, PluginError, StoreError
from guardproxy.gateway.duties.duty import Duty, Head, Refusal, Result, Steps, StoreAnswered, has_stage
from guardproxy.gateway.store.calls import Answer, Store
from guardproxy.wire import Contract, Request

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Trail(msgspec.Struct):
    """The progress of a request. `head`: the head after the duties so far. `answers`: the store's answers to them. `model`:
    the model that it asks for, once it was decoded."""

    head: Head
    answers: list[StoreAnswered] = msgspec.field(default_factory=list)
    model: str = ""


class Duties:
    """Runs duties. `duties`: in their order. `store`: shared by all; the keys of a duty begin with its name."""

    def __init__(self, duties: Sequence[Duty], store: Store) -> None:
        self._admitting = tuple(duty for duty in duties if has_stage(duty, "admit"))
        self._planning = tuple(duty for duty in duties if has_stage(duty, "plan"))
        self._refusing = tuple(duty for duty in duties if has_stage(duty, "refusals"))
        self._telling = tuple(duty for duty in duties if has_stage(duty, "headers"))
        self._settling = tuple(duty for duty in duties if has_stage(duty, "settle"))
        self._abandoning = tuple(duty for duty in duties if has_stage(duty, "abandon"))
        self._store = store
        self.is_settling = bool(self._settling)
        """Whether any duty processes finished exchanges."""
        self.is_refusing = bool(self._refusing)
        """Whether any duty tells what it refused."""

    def is_planning(self, head: Head) -> bool:
        """Whether any duty needs the decoded request."""
        return bool(self._planning) and any(duty.plans(head) for duty in self._planning)

    async def admit(self, trail: Trail) -> None:
        """Passes the head of `trail` through every duty. Raises `DownstreamError`: a duty's refusal, or 503 if the
        store cannot be reached; `trail` then holds the progress up to there."""
        for duty in self._admitting:
            result = duty.admit(trail.head)
            if type(result) is Head or isinstance(result, Head):  # nearly always the first
                trail.head = result
            else:
                trail.head = await self._run(duty.name, result, trail.answers)

    async def plan(self, trail: Trail, request: Request) -> tuple[Plan, ...]:
        """Returns the plans of all duties. Raises `DownstreamError` like `admit`."""
        plans: list[Plan] = []
        for duty in self._planning:
            if not duty.plans(trail.head):
                continue
            plan = duty.plan(trail.head, request)
            if isinstance(plan, Generator):
                plan = await self._run(duty.name, plan, trail.answers)
            if plan is not None:
                plans.append(plan)
        return tuple(plans)

    def refusals(self, head: Head) -> tuple[Refusal, ...]:
        """Returns what the duties refused, and what they would have refused in shadow mode."""
        return tuple([refusal for duty in self._refusing for refusal in duty.refusals(head)])

    def headers(self, head: Head, contract: Contract) -> Mapping[str, str]:
        """Returns the headers that the duties add to the answer."""
        if not self._telling:
            return NO_HEADERS
        return {name: value for duty in self._telling for name, value in duty.headers(head, contract).items()}

    async def settle(self, head: Head, record: Record) -> None:
        """Passes a finished exchange to every duty. Raises `DownstreamError` if the store cannot be reached."""
        for duty in self._settling:
            if (steps := duty.settle(head, record)) is not None:
                await self._run(duty.name, steps, [])

    async def abandon(self, head: Head) -> None:
        """Tells every duty that the client left before there was an exchange. Raises `DownstreamError` like `settle`."""
        for duty in self._abandoning:
            if (steps := duty.abandon(head)) is not None:
                await self._run(duty.name, steps, [])

    async def _run(self, name: str, steps: Steps[Result], answers: list[StoreAnswered]) -> Result:
        received: tuple[Answer, ...] | None = None
        while True:
            try:
                calls = next(steps) if received is None else steps.send(received)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # the result of a generator has no type here
            try:
                received = await self._store.perform(calls)
            except StoreError as error:
                # A duty may take back what it has noted, and it cannot go on, whatever it does with the error: what the store
                # has done is not known.
                with suppress(StoreError, StopIteration):
                    steps.throw(error)
                message = f"the store of the duty `{name}` cannot be reached"
                raise DownstreamError(ErrorCode.STORE_UNAVAILABLE, message) from None
            answers.append(StoreAnswered(name, received))


def rerun(duties: Iterable[Duty], head: Head, answers: Iterable[StoreAnswered], request: Request | None = None) -> Head:
    """Returns the head that duties admit with the recorded answers of the store. `request`: the decoded body; without it, no
    duty decides by the body. The plans of duties are recorded, so they are not returned.

    Raises `DownstreamError` for their refusal, and `ValueError` if they make more calls than there are answers.
    """
    recorded, duties = list(answers), tuple(duties)
    own = {duty.name: iter([told.answers for told in recorded if told.duty == duty.name]) for duty in duties}
    for duty in duties:
        admitted = duty.admit(head)
        head = admitted if isinstance(admitted, Head) else _again(duty.name, admitted, own[duty.name])
    for duty in duties:
        if request is not None and has_stage(duty, "plan") and duty.plans(head):
            plan = duty.plan(head, request)
            if isinstance(plan, Generator):
                _again(duty.name, plan, own[duty.name])
    return head


def _again(name: str, steps: Steps[Result], answers: Iterator[tuple[Answer, ...]]) -> Result:
    """Returns the result of steps with recorded answers."""
    received: tuple[Answer, ...] | None = None
    while True:
        try:
            _ = next(steps) if received is None else steps.send(received)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # the result of a generator has no type here
        received = next(answers, None)
        if received is None:
            raise ValueError(f"the record has no further answer of the store to the duty `{name}`")


def load_duties(names: Sequence[str]) -> tuple[Duty, ...]:
    """Returns the duties with these names, in this order. Raises `ConfigError` for an unknown name and `PluginError`
    for a plug-in that is not a duty."""
    loaded = []
    for name in names:
        build = plugins.load(plugins.DUTIES, name)
        if build is None:
            known = ", ".join(plugins.names(plugins.DUTIES)) or "none is installed"
            raise ConfigError(f"--duty {name}: no installed package provides this duty (known: {known})")
        whose = plugins.whose(plugins.DUTIES, name)
        try:
            duty = build()
        except Exception as error:
            raise PluginError(f"the plug-in {whose} failed: {type(error).__name__}: {error}") from error
        if not isinstance(duty, Duty) or not duty.name:
            raise PluginError(f"the plug-in {whose} is not a duty: it must build a named `guardproxy.gateway.Duty`")
        loaded.append(duty)
    return tuple(loaded)
