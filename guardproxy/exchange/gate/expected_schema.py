"""Finds the form that each text of an answer must have, and the checks that look for a form.

In: the demands of the request, as it goes upstream. Out: the facts about a text, for its check. The arguments of a call must
fit the schema of the called tool, so their facts are unknown until the tool's name is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from guardproxy.checks import Check
from guardproxy.events import End, Event, Frame, Opaque, Text
from guardproxy.exchange.gate.gate import Gate, Job, Lane
from guardproxy.findings import NO_FACTS, Channel, Facts, Form, Sources, Window
from guardproxy.redaction import Shape, Shapes
from guardproxy.wire import NO_DEMAND, Contract, Demand
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


class Forms(msgspec.Struct):
    """The forms of an exchange. `facts`: the facts that hold for all its texts."""

    contract: Contract
    facts: Facts = NO_FACTS
    demand: Demand = NO_DEMAND
    sources: Sources | None = None  # the retrieved texts of the request, if a check needs them
    refused: str = ""  # the schema that cannot be used, and the reason
    _jobs: list[tuple[str, Job]] = msgspec.field(default_factory=list)

    def note_streamed(self, streamed: bool) -> None:
        """Notes whether the answer comes in frames."""
        if self.facts.streamed is not streamed:
            facts = self.facts  # `replace` would call a function for each member
            self.facts = Facts(
                facts.route, facts.model, facts.form, streamed, facts.language, facts.canary, facts.sources
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
        if not needs_form(check):
            return True
        part = self.contract.part(channel)
        if own_form(check) or part == "answer":
            return part == "answer" and bool(own_form(check) or self.demand.answer)
        return part is not None and self.demand.tools is not None

    def facts_for(self, gate: Gate, lane: Lane, check: Check) -> Facts | None:
        """The facts about a lane for a check; `None` while the tool of its arguments is unknown."""
        if not needs_form(check):
            return replace(self.facts, sources=self.sources) if check.traits.needs_sources else self.facts
        part = self.contract.part(lane.channel)
        if own_form(check) or part == "answer":
            return replace(self.facts, form=own_form(check) or self.demand.answer)
        if part == "tool":
            return replace(self.facts, form=self.demand.tool_names)
        tools = self.demand.tools or {}
        name = gate.lanes.at(self.contract.name_path(lane.channel.path))
        # Only the first piece of a name is independent of how the stream is cut.
        if name is None or name.text.parts[0] not in tools:
            if not lane.text.ended:
                return None
            return replace(self.facts, form=tools.get("".join(name.text.parts)) if name else None)
        return replace(self.facts, form=tools[name.text.parts[0]])

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

    def judged(self, events: Sequence[Event]) -> list[Event]:
        """The events, and as additional texts the tool inputs that a frame holds in parts, after the texts of the frame."""
        out: list[Event] = []
        frame: Frame | None = None  # the last
        texts: list[Text] = []  # those of the last frame
        for event in events:
            if isinstance(event, (Text, Opaque)) and event.frame is not frame:
                out += self._inputs(frame, texts)
                frame, texts = event.frame, []
            if isinstance(event, Text):
                texts.append(event)
            out.append(event)
        return [*out, *self._inputs(frame, texts)]

    def _inputs(self, frame: Frame | None, texts: Sequence[Text]) -> Iterator[Event]:
        """Yields the tool inputs of the frame with these texts. An input lies beside the name of its tool."""
        if frame is None or not isinstance(frame.tree, dict):
            return
        if frame.calls is not None:
            for path, text in frame.calls:
                yield from _judged(Channel("response", "tool_arguments", path), text, frame, ())
            return
        names = {
            text.path[:-1]: text.channel.path.rpartition(".")[0]
            for text in texts
            if self.contract.part(text.channel) == "tool"
        }
        for given in self.contract.inputs(frame.tree) if texts else ():
            beside = names.get(given.path[:-1])
            path = dotted(given.path) if beside is None else f"{beside}.{given.path[-1]}"
            yield from _judged(Channel("response", "tool_arguments", path), given.text, frame, given.path)

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
