"""The stages of a set of rules: what policies add to the way of a request and of an answer, in a declared order.

In: the rules that apply to a request. Out: their stages; none for what no policy asks for. A section whose work needs no part
of the exchange declares its stages itself (`Section.stages`). The others are listed at the end of this file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from guardproxy.checks import Check
from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.events import Event, Fault, Frame, Opaque, Text
from guardproxy.exchange.gate.definitions import with_definitions
from guardproxy.exchange.gate.expected_schema import Forms
from guardproxy.exchange.inputs.caching import query_of
from guardproxy.exchange.inputs.inspection import UNINSPECTED, uninspected, unmapped
from guardproxy.exchange.inputs.prompts import prompts_of
from guardproxy.exchange.inputs.setting import Setting
from guardproxy.exchange.memory.use import MemoryUse
from guardproxy.exchange.memory.uses import uses_of
from guardproxy.exchange.phases.chunks import ChunkStage, DocumentStage, SourceStage
from guardproxy.exchange.phases.offered_tools import OfferedToolStage
from guardproxy.exchange.phases.stage import AnswerStage, RequestDraft, RequestStage, RunningAnswer, UnusableAnswer
from guardproxy.exchange.routes.attempts import Answer
from guardproxy.exchange.routes.routing import Asked, choose, measured
from guardproxy.policy import BoundRules
from guardproxy.policy.sections import (
    CACHE,
    PROMPT,
    ROUTE,
    SECTIONS,
    BoundSection,
    CacheSection,
    PromptSection,
    RouteSection,
)
from guardproxy.policy.values import BoundFields
from guardproxy.wire import FieldPath
from guardproxy.wire.contract import denied_field


class Stages(NamedTuple):
    """The stages of a set of rules: those of a request by the moment at which they run, and those of an answer."""

    answer: tuple[AnswerStage, ...] = ()
    """Events of the answer are decoded, and the gate does not have them yet."""
    read: tuple[RequestStage, ...] = ()
    """The body is decoded, and no check has read its texts. Stages of sections come first."""
    taken: tuple[RequestStage, ...] = ()
    """The gate has the texts."""
    decided: tuple[RequestStage, ...] = ()
    """The rules have decided about the texts: `RequestDraft.entry`, whose edits can still change."""
    edited: tuple[RequestStage, ...] = ()
    """The texts have their edits: `RequestDraft.texts`."""
    built: tuple[RequestStage, ...] = ()
    """The request is a tree with its edited texts, for its destination: `RequestDraft.tree`."""
    written: tuple[RequestStage, ...] = ()
    """The body that goes upstream is written."""
    memory: tuple[MemoryUse[Any], ...] = ()
    """What the rules need of earlier exchanges."""


def stages_of(bound: BoundRules) -> Stages:
    """Returns the stages of a set of rules. They are collected once, as many requests have the same rules."""
    # Without a lock: if two threads collect them at once, the results are equal.
    try:
        stages: Stages = bound.derived[Stages]
    except KeyError:
        stages = bound.derived[Stages] = _collected(bound)
    return stages


def _collected(bound: BoundRules) -> Stages:
    listed: list[tuple[Any, ...]] = [
        tuple(stage for find in finders if (stage := find(bound)) is not None) for finders in _REQUEST
    ]
    of_sections = (stage for key, section in SECTIONS.items() for stage in section.stages(bound.sections.get(key, ())))
    listed[0] = (*of_sections, *listed[0])
    answer = (reading for find in _ANSWER if (reading := find(bound)) is not None)
    return Stages(tuple(answer), *listed)._replace(memory=uses_of(bound))


# Stages of a request.


@dataclass(frozen=True, slots=True)
class _Route:
    """Chooses the destination of a request. `sections`: those that apply to it."""

    sections: tuple[BoundSection[RouteSection], ...]

    @classmethod
    def of(cls, bound: BoundRules) -> _Route | None:
        """Returns the stage of a set of rules; `None` if no policy has the section."""
        sections = ROUTE.bound(bound.sections)
        return cls(sections) if sections else None

    def amend(self, draft: RequestDraft) -> None:
        """Chooses where a request goes. One for a server of tools can go nowhere else."""
        if not draft.names_model:
            return
        setting, ledger, attempts, request = draft.setting, draft.ledger, draft.attempts, draft.request
        # Where no rule reads the request, `draft.events` has none of its texts.
        walk: Callable[[], Sequence[Event]] = (lambda: draft.events) if ledger.request.read else request.events
        model = setting.policies.difficulty
        asked = Asked(
            exchange=setting.id,
            conversation=ledger.notes.conversation,
            client=f"{setting.tenant}\0{setting.client.name}",
            model=request.model,
            plan=ledger.notes.plan,
            measures=lambda most, asks: setting.history.measures(
                lambda: measured(walk(), draft.statement, most, model if asks else None)
            ),
            about=lambda: draft.about,
            unavailable=draft.event.unavailable,
            difficulty=model,
        )
        ledger.choices = choose(self.sections, asked)
        if deciding := next((choice for choice in ledger.choices if choice.enforced), None):
            attempts.plan, *further = deciding.plans
            ledger.notes.plan = attempts.plan
            attempts.failover = deciding.failover(further)


@dataclass(frozen=True, slots=True)
class _PromptBegin:
    """Takes the sections `prompt`. Their secret word is known before the first check reads a text."""

    sections: tuple[BoundSection[PromptSection], ...]

    @classmethod
    def of(cls, bound: BoundRules) -> _PromptBegin | None:
        sections = PROMPT.bound(bound.sections)
        return cls(sections) if sections else None

    def amend(self, draft: RequestDraft) -> None:
        setting = draft.setting
        values = {"tenant": setting.tenant_name or "", "route": setting.address.route, "model": draft.request.model}
        mark = setting.history.prompt_mark
        prompts = prompts_of(self.sections, setting.codec.turns, setting.keys.mint, setting.id, values, mark)
        draft.guard.begin_prompts(prompts)


@dataclass(frozen=True, slots=True)
class _FieldRefusal:
    """Refuses requests with a field that their format or a policy refuses by its name."""

    fields: BoundFields

    @classmethod
    def of(cls, bound: BoundRules) -> _FieldRefusal:
        return cls(bound.fields)

    def amend(self, draft: RequestDraft) -> None:
        tree, denied = draft.request.frame.tree, draft.guard.setting.codec.contract.denied
        if found := denied_field(tree, denied, self.fields.allowed):
            place, name = found
            allowing = f"a policy allows it with `allow_fields: [{name}]`"
            message = f"`{place}` {denied[name]}, so it bypasses the checks; {allowing}"
            raise DownstreamError(ErrorCode.FIELD_DENIED, message, place)
        if not self.fields.rules:
            return
        refused = list(self.fields.refused(tree))
        draft.guard.fields += refused
        if enforced := next((change for change in refused if change.enforced), None):
            message = f"a policy refuses the field `{enforced.place}`; leave it out"
            raise DownstreamError(ErrorCode.FIELD_REFUSED, message, enforced.place)


class _UnmappedRefusal:
    """Refuses requests and answers with a field that their format does not know."""

    @classmethod
    def of(cls, bound: BoundRules) -> _UnmappedRefusal | None:
        return cls() if bound.refuses_unmapped else None

    def amend(self, draft: RequestDraft) -> None:
        if place := unmapped(draft.events):
            message = "the request has a field that this proxy does not know, and the policy refuses those"
            raise DownstreamError(ErrorCode.UNMAPPED_FIELD, message, place)

    def read(self, running: RunningAnswer, events: Sequence[Event]) -> Sequence[Event]:
        if unmapped(events):
            return [Fault(ErrorCode.UNMAPPED_FIELD, "the answer has a field that this proxy does not know")]
        return events


@dataclass(frozen=True, slots=True)
class _OpaqueRefusal:
    """Refuses requests and answers with content that no check can read, and requests with integers that stand for a text."""

    kinds: frozenset[str]
    token_ids: bool

    @classmethod
    def of(cls, bound: BoundRules) -> _OpaqueRefusal:
        return cls(bound.refuses_opaque, bound.refuses_token_ids)

    @classmethod
    def of_answers(cls, bound: BoundRules) -> _OpaqueRefusal | None:
        return cls.of(bound) if bound.refuses_opaque else None

    def amend(self, draft: RequestDraft) -> None:
        for event in draft.events:
            if type(event) is Opaque and event.media and (refused := uninspected([event], self.kinds, self.token_ids)):
                code, place = refused
                raise DownstreamError(code, UNINSPECTED[code].format(field=place), place)

    def read(self, running: RunningAnswer, events: Sequence[Event]) -> Sequence[Event]:
        for event in events:
            if type(event) is Opaque and event.media and (refused := uninspected([event], self.kinds, None)):
                message = "the answer has content that no check can read, and the policy refuses it"
                return [Fault(refused[0], message)]
        return events


class _PromptMarks:
    """Marks the texts that the user did not write."""

    @classmethod
    def of(cls, bound: BoundRules) -> _PromptMarks | None:
        return cls() if PROMPT.bound(bound.sections) else None

    def amend(self, draft: RequestDraft) -> None:
        draft.texts = draft.prompts.marked(draft.texts, draft.request.frame.tree, draft.documents)


@dataclass(frozen=True, slots=True)
class _FieldChanges:
    """Sets and removes fields."""

    fields: BoundFields

    @classmethod
    def of(cls, bound: BoundRules) -> _FieldChanges | None:
        return cls(bound.fields) if bound.fields.changes else None

    def amend(self, draft: RequestDraft) -> None:
        tree, changes = self.fields.changed(draft.tree, partial(can_have, draft.setting, draft.tree))
        draft.guard.fields += changes
        # Without an enforced change the tree stays the same object, by which `RequestPhase._build` sees that nothing
        # changed.
        if any(change.enforced for change in changes):
            draft.tree = tree


class _PromptText:
    """Changes the system prompt. It comes last, so that no other stage reads or removes what it adds."""

    @classmethod
    def of(cls, bound: BoundRules) -> _PromptText | None:
        return cls() if PROMPT.bound(bound.sections) else None

    def amend(self, draft: RequestDraft) -> None:
        if (tree := draft.prompts.instructed(draft.tree)) is not None:
            draft.tree = tree
        draft.guard.editor.values |= draft.prompts.restored()

    def read(self, running: RunningAnswer, events: Sequence[Event]) -> Sequence[Event]:
        """Hides what policies added from an answer that repeats its system prompt."""
        prompts = running.guard.prompts
        return events if prompts is None else prompts.hidden(events)


@dataclass(frozen=True, slots=True)
class _CacheKey:
    """Says what to look for in the cache."""

    sections: tuple[BoundSection[CacheSection], ...]

    @classmethod
    def of(cls, bound: BoundRules) -> _CacheKey | None:
        sections = CACHE.bound(bound.sections)
        return cls(sections) if sections else None

    def amend(self, draft: RequestDraft) -> None:
        if not draft.names_model:  # a tool is called each time
            return
        bound = draft.guard.bound
        draft.cache = query_of(
            draft.setting,
            self.sections,
            draft.attempts,
            draft.entry,
            is_streamed=draft.request.stream,
            owner=draft.ledger.owner if bound is not None and bound.keeping.subjects else None,
        )


def can_have(setting: Setting, tree: object, path: FieldPath) -> bool:
    """Whether a request can have a field: one that it has, or one of its format. Routes on which no model answers take fewer
    fields than the others of a format."""
    is_answered = setting.codec.contract.is_answered(setting.address.route)
    return path.is_at_top(tree) or (is_answered and setting.codec.has_field(path))


# Stages of an answer.


class _Failover:
    """Asks the next destination of a route if an answer that arrives well cannot be used."""

    @classmethod
    def of(cls, bound: BoundRules) -> _Failover | None:
        return cls() if ROUTE.bound(bound.sections) else None

    def read(self, running: RunningAnswer, events: Sequence[Event]) -> Sequence[Event]:
        attempts = running.attempts
        if attempts.failover and not running.client.has_text and (why := attempts.trouble_in(events, running.answer)):
            raise UnusableAnswer(why)
        return events


@dataclass(frozen=True, slots=True)
class _FormTexts:
    """Notes the calls of tools, and adds the texts that only checks of calls or of the form of an answer read."""

    checks: tuple[Check, ...]
    has_definitions: bool

    @classmethod
    def of(cls, bound: BoundRules) -> _FormTexts | None:
        return cls(bound.judging, bound.needs_definition) if bound.judging or bound.needs_tools else None

    def read(self, running: RunningAnswer, events: Sequence[Event]) -> Sequence[Event]:
        # An error of the upstream is no answer in the form that the request asks for.
        if running.answer.status != 200:
            return events
        if self.has_definitions:
            forms = running.guard.forms
            events = with_definitions(events, forms.contract, "response", forms.server)
        return judged(running.guard.forms, running.answer, events, self.checks)


class _Mending:
    """Keeps the events of an answer whose texts may be repaired."""

    @classmethod
    def of(cls, bound: BoundRules) -> _Mending | None:
        return cls() if bound.mends else None

    def read(self, running: RunningAnswer, events: Sequence[Event]) -> Sequence[Event]:
        # An answer is repaired once, so no more of it has to be kept.
        if not running.answer.mended:
            running.answer.events += running.setting.history.repairable(events)
        return events


def judged(forms: Forms, answer: Answer, events: Sequence[Event], judging: Sequence[Check]) -> list[Event]:
    """The events, with additional texts that only checks of the form read."""
    last = next((event.frame for event in events if isinstance(event, (Text, Opaque)) and event.frame.terminal), None)
    out = forms.calls.read(events, is_over=last is not None or answer.ended)
    if (last or answer.ended) and not answer.over and forms.expects(judging):
        # The terminal frame and the end of the body both end an answer: only the first counts.
        answer.over = True
        out += forms.missing(answer.side.gate.lanes.every, out, last or Frame(b"", streamed=True))
    return out


# The declared order.

_REQUEST: tuple[tuple[Callable[[BoundRules], RequestStage | None], ...], ...] = (
    (_PromptBegin.of, _FieldRefusal.of, _UnmappedRefusal.of, _OpaqueRefusal.of, DocumentStage.of),  # read
    (_Route.of,),  # taken
    (ChunkStage.of,),  # decided
    (SourceStage.of, _PromptMarks.of),  # edited
    # Fields before tools, so that tools which a policy sets are judged as well.
    (_FieldChanges.of, OfferedToolStage.of, _PromptText.of),  # built
    (_CacheKey.of,),  # written
)
"""Those of a request, for each moment of `Stages`."""
_ANSWER: tuple[Callable[[BoundRules], AnswerStage | None], ...] = (
    *(_Failover.of, _UnmappedRefusal.of, _OpaqueRefusal.of_answers, _PromptText.of, _FormTexts.of, _Mending.of),
)
