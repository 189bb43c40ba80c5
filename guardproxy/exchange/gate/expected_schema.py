"""Finds the form that each text of an answer must have, and the facts about calls, for the checks that look for them.

In: the demands of the request, as it goes upstream, and the calls of tools (`calls.py`). Out: the facts about a text, for its
check. The arguments of a call must fit the schema of the called tool, so their facts are unknown until its name is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from guardproxy.checks import Check
from guardproxy.events import End, Event, Frame, Text
from guardproxy.exchange.gate.calls import Calls, call_of
from guardproxy.exchange.gate.definitions import with_definitions
from guardproxy.exchange.gate.gate import Gate, Job, Lane
from guardproxy.findings import NO_FACTS, Channel, Facts, Form, Passage, Sources, Window
from guardproxy.policy import BoundRules
from guardproxy.redaction import Shape, Shapes
from guardproxy.tool_pins import ToolDefinition
from guardproxy.wire import Contract
from guardproxy.wire.contract import NO_CALLS, NO_DEMAND, Demand
from guardproxy.wire.json import dotted

_SCHEMA_PLACE = Channel("request", "tool_definition", "schema")


def needs_form(check: Check) -> bool:
    return check.traits.needs_form


def own_form(check: Check) -> Form | None:
    """The form that a check looks for whatever the request asks; `None` if it takes the form from the request."""
    return check.traits.own_form


def with_own(shapes: Shapes, checks: Sequence[Check]) -> Shapes:
    """The shapes of a request. If it asks for no shape of the answer, the policy's own form is the shape."""
    if not checks:
        return shapes
    own = next((form for check in checks if (form := own_form(check))), None)
    return replace(shapes, answer=Shape("policy", own.schema)) if own and not shapes.answer else shapes


def _passages(gate: Gate) -> Iterator[Passage]:
    """Yields the texts of a request in their order, as they came."""
    for lane in gate.lanes.every:
        if not lane.judged:
            yield Passage(lane.channel.kind, lane.channel.path, lane.text.part(0, lane.text.total))


class Forms(msgspec.Struct):
    """The forms of an exchange. `facts`: the facts that hold for all its texts."""

    contract: Contract
    facts: Facts = NO_FACTS
    demand: Demand = NO_DEMAND
    sources: Sources | None = None  # the retrieved texts of the request, if a check needs them
    refused: str = ""  # the schema that cannot be used, and the reason
    server: str = ""  # the name of the server, if the route has it
    tree: Any = None  # of the request, as the client sent it
    request: Sources | None = None  # all texts of the request, once a check needs them
    calls: Calls = msgspec.field(default_factory=lambda: Calls(NO_CALLS, "response"))  # of the answer
    _jobs: list[tuple[str, Job]] = msgspec.field(default_factory=list)

    def note_streamed(self, streamed: bool) -> None:
        """Notes whether the answer comes in frames."""
        if self.facts.streamed is not streamed:
            facts = self.facts  # `replace` would call a function for each member
            self.facts = Facts(
                route=facts.route,
                model=facts.model,
                form=facts.form,
                streamed=streamed,
                language=facts.language,
                canary=facts.canary,
                sources=facts.sources,
                seen_tools=facts.seen_tools,
            )

    def judges(self, check: Check) -> bool:
        """Whether a text of this exchange may have a form that the check looks for."""
        return bool(own_form(check) or self.demand.answer or self.demand.tools)

    def expects(self, checks: Sequence[Check]) -> bool:
        """Whether an empty answer is a fault."""
        own = self.contract.is_answered(self.facts.route) and any(own_form(check) for check in checks)
        return own or self.demand.answer is not None

    def wants(self, check: Check, channel: Channel) -> bool:
        """Whether the check reads the texts of a channel."""
        if check.traits.needs_call:
            return channel.kind == "tool_arguments"
        if check.traits.needs_definition:
            return channel.kind == "tool_definition"
        if not needs_form(check):
            return True
        part = self.contract.part(channel)
        if own_form(check) or part == "answer":
            return part == "answer" and bool(own_form(check) or self.demand.answer)
        return part is not None and self.demand.tools is not None

    def facts_for(self, gate: Gate, lane: Lane, check: Check) -> Facts | None:
        """The facts about a lane for a check; `None` while the call that it is a part of is not known well enough."""
        if check.traits.needs_call:
            if not lane.text.ended:
                return None
            sources = self.sources or self.facts.sources if check.traits.needs_sources else None
            return replace(self.facts, call=call_of(lane, self.contract.calls, self.server), sources=sources)
        if check.traits.needs_request and lane.channel.direction == "request":
            if self.request is None:
                self.request = Sources((), passages=tuple(_passages(gate)))
            return replace(self.facts, request=self.request)
        if check.traits.needs_definition:
            call = lane.text.call
            return replace(self.facts, definition=call if isinstance(call, ToolDefinition) else None)
        if not needs_form(check):
            if not check.traits.needs_sources:
                return self.facts
            joint = gate.lanes.joints.get(lane)
            is_part = joint is not None and joint.lane is not lane  # a statement may go on in the next part
            return replace(self.facts, sources=None if is_part else self.sources)
        part = self.contract.part(lane.channel)
        if own_form(check) or part == "answer":
            return replace(self.facts, form=own_form(check) or self.demand.answer)
        if part == "tool":
            return replace(self.facts, form=self.demand.tool_names)
        name = lane.text.call.call.name if lane.text.call else ""
        if not name and not lane.text.ended:
            return None
        return replace(self.facts, form=(self.demand.tools or {}).get(name))

    def proofs(self, checks: Sequence[Check]) -> tuple[Job, ...]:
        """Jobs that find out whether the request's schemas can be used, before the request is sent upstream."""
        asking = [check for check in checks if needs_form(check) and not own_form(check)]
        self._jobs = [
            (place, Job(check, Window(_SCHEMA_PLACE, "", facts=replace(self.facts, form=form))))
            for check in asking
            for place, form in self.demand.forms()
        ]
        return self.jobs

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The jobs that `proofs` made."""
        return tuple(job for _, job in self._jobs)

    def learn(self, scans: Sequence[Any]) -> None:
        """Takes the scans of the jobs of `proofs`."""
        for (place, _), scan in zip(self._jobs, scans, strict=True):
            faults = [detail.found for finding in scan.findings for detail in finding.details]
            if scan.error or faults:
                self.refused = f"the schema of {place}: {faults[0] if faults else 'it could not be read'}"
                return

    def in_request(self, events: list[Event], bound: BoundRules) -> list[Event]:
        """Returns the events of a request with the calls that their texts are a part of, and with the definitions of tools, as
        far as checks ask for them."""
        if bound.notes_calls:
            events = Calls(self.contract.calls, "request").read(events, is_over=True)
        if bound.needs_definition:
            events = with_definitions(events, self.contract, "request", self.server)
        return events

    def begin_answer(self) -> None:
        """Forgets the calls of the answer before."""
        self.calls = Calls(self.contract.calls, "response", self._offered)

    def _offered(self) -> Iterator[str]:
        """Yields the names of the tools that the request offers."""
        return (name for tool in self.contract.offered(self.tree).every for name in tool.names)

    def missing(self, lanes: Sequence[Lane], events: Sequence[Event], frame: Frame) -> list[Event]:
        """The events of a blank answer, if the answer is over without a text, a call or a refusal; otherwise empty."""
        answers = ("assistant", "refusal", "tool_arguments", "error")
        channels = [lane.channel for lane in lanes] + [event.channel for event in events if isinstance(event, Text)]
        if any(channel.kind in answers for channel in channels):
            return []
        path = dotted(self.contract.answer_path)
        return list(_judged(Channel("response", "assistant", path), " ", frame, ()))


def _judged(channel: Channel, text: str, frame: Frame, path: Any) -> tuple[Event, ...]:
    return Text(channel, text, frame, path, judged=True), End(channel)
