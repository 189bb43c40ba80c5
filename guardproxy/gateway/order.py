"""Runs duties one after the other, and again from a record.

In: a head, then a record. Out: the head that all duties admit, or the refusal of the first that does not, with what the store
answered on the way. A duty after a refusal is not asked. Kept: nothing.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field

from guardproxy import plugins
from guardproxy.audit import Record
from guardproxy.decisions import Plan
from guardproxy.errors import ConfigError, DownstreamError, ErrorCode, PluginError, StoreError
from guardproxy.gateway.duty import Duty, Head, Result, Steps, StoreAnswered, has_stage
from guardproxy.gateway.store import Answer, Store
from guardproxy.wire import Request


@dataclass(slots=True)
class Trail:
    """How far a request has come. `head`: what the duties so far made of it. `answers`: what the store answered them."""

    head: Head
    answers: list[StoreAnswered] = field(default_factory=list)


class Duties:
    """`duties`: in the order in which they run. `store`: what they share; each keeps its keys apart by its name."""

    def __init__(self, duties: Sequence[Duty], store: Store) -> None:
        self._admitting = tuple(duty for duty in duties if has_stage(duty, "admit"))
        self._planning = tuple(duty for duty in duties if has_stage(duty, "plan"))
        self._settling = tuple(duty for duty in duties if has_stage(duty, "settle"))
        self._store = store

    @property
    def is_planning(self) -> bool:
        """Whether any duty looks at decoded requests."""
        return bool(self._planning)

    @property
    def is_settling(self) -> bool:
        """Whether any duty takes note of exchanges that ended."""
        return bool(self._settling)

    async def admit(self, trail: Trail) -> None:
        """Takes the head of `trail` through every duty. Raises `DownstreamError`: the refusal of a duty, or 503 where the store
        cannot be reached; `trail` then says how far the request came."""
        for duty in self._admitting:
            result = duty.admit(trail.head)
            trail.head = result if isinstance(result, Head) else await self._run(duty.name, result, trail.answers)

    async def plan(self, trail: Trail, request: Request) -> tuple[Plan, ...]:
        """The plans of all duties. Raises `DownstreamError` as `admit` does."""
        plans: list[Plan] = []
        for duty in self._planning:
            plan = duty.plan(trail.head, request)
            if isinstance(plan, Generator):
                plan = await self._run(duty.name, plan, trail.answers)
            if plan is not None:
                plans.append(plan)
        return tuple(plans)

    async def settle(self, head: Head, record: Record) -> None:
        """Lets every duty take note of an exchange that ended. Raises `DownstreamError` where the store cannot be reached."""
        for duty in self._settling:
            if (steps := duty.settle(head, record)) is not None:
                await self._run(duty.name, steps, [])

    async def _run(self, name: str, steps: Steps[Result], answers: list[StoreAnswered]) -> Result:
        given: tuple[Answer, ...] | None = None
        while True:
            try:
                calls = next(steps) if given is None else steps.send(given)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # the result of a generator has no type here
            try:
                given = await self._store.perform(calls)
            except StoreError:
                steps.close()
                message = f"the store of the duty `{name}` cannot be reached"
                raise DownstreamError(ErrorCode.STORE_UNAVAILABLE, message) from None
            answers.append(StoreAnswered(name, given))


def rerun(duties: Iterable[Duty], head: Head, answers: Iterable[StoreAnswered]) -> Head:
    """The head that duties admit when the store answers as it did.

    Raises `DownstreamError`, their refusal, and `ValueError` where they ask for more than was answered.
    """
    left = list(answers)
    for duty in duties:
        own = iter([answered.answers for answered in left if answered.duty == duty.name])
        steps = duty.admit(head)
        if isinstance(steps, Head):
            head = steps
            continue
        given: tuple[Answer, ...] | None = None
        while True:
            try:
                _ = next(steps) if given is None else steps.send(given)
            except StopIteration as end:
                head = end.value
                break
            given = next(own, None)
            if given is None:
                raise ValueError(f"the record has no further answer of the store to the duty `{duty.name}`")
    return head


def load_duties(names: Sequence[str]) -> tuple[Duty, ...]:
    """The duties that settings name, in that order. Raises `ConfigError` for a name that no package brings, `PluginError` for a
    plug-in that is no duty."""
    loaded = []
    for name in names:
        build = plugins.load(plugins.DUTIES, name)
        if build is None:
            known = ", ".join(plugins.names(plugins.DUTIES)) or "none is installed"
            raise ConfigError(f"--duty {name}: no installed package brings this duty (known: {known})")
        whose = plugins.whose(plugins.DUTIES, name)
        try:
            duty = build()
        except Exception as error:
            raise PluginError(f"the plug-in {whose} failed: {type(error).__name__}: {error}") from error
        if not isinstance(duty, Duty) or not duty.name:
            raise PluginError(f"the plug-in {whose} is no duty: it must build a `guardproxy.gateway.Duty` with a name")
        loaded.append(duty)
    return tuple(loaded)
