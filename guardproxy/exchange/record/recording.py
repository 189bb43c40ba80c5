"""Composes the record of an exchange from its notes.

In: notes, lanes, outcomes of rules. Out: a `Record` without any sensitive value (`masking.py`). Findings, edits and lengths
count in the masked text, so a record can be run through the exchange again: to it, the placeholder is the value.

Decision: docs/decisions/0008-a-direction-that-no-rule-looks-at-is-not-kept.md
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import msgspec

from guardproxy.audit import ENTRY_VERSION, Intent, Owner, Record
from guardproxy.audit.record import (
    Private,
    PrivateRecord,
    RecordedAnswer,
    RecordedAttempt,
    RecordedDecision,
    RecordedDuty,
    RecordedError,
    RecordedFault,
    RecordedFeedback,
    RecordedField,
    RecordedFinding,
    RecordedOpinion,
    RecordedOrigin,
    RecordedPlaces,
    RecordedRefusal,
    RecordedRequest,
    RecordedSaving,
    RecordedShortage,
    RecordedText,
)
from guardproxy.decisions import UNPLANNED, Confirm
from guardproxy.errors import DownstreamError
from guardproxy.exchange.gate.documents import CutTexts
from guardproxy.exchange.gate.gate import QueuedFrame
from guardproxy.exchange.gate.joining import Joint
from guardproxy.exchange.gate.lanes import Lane, unedited
from guardproxy.exchange.gate.notes import Attempt, Notes, Side, is_unmapped
from guardproxy.exchange.record.masking import Masks
from guardproxy.exchange.routes.routing import recorded_plan
from guardproxy.findings import Direction, Finding, ModelVerdict, ValueOrigin
from guardproxy.gateway import Refusal, StoreAnswered
from guardproxy.harmless import is_harmless
from guardproxy.policy import BoundRules, Keeping, Outcome
from guardproxy.policy.values import FieldChange
from guardproxy.wire import AnswerFacts
from guardproxy.wire.json import LEAST_DIGITS, is_plain_key, is_word

_EVERYTHING = ("*",)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')  # a word of a schema in an expectation
_STEP = re.compile(r"[^.\[\]#]+")  # of a place
_DIGITS = re.compile(r"\d+")
_SCORE_DIGITS = 4  # a score with more digits could hold a number that is none of the record's business
AskedCalls = Mapping[tuple[int, Direction, str], tuple[str, str]]
"""The calls that rules asked a person about, by the number of the answer, direction and path of the text: the id under which a
person may approve the call, and who did."""
NOTHING_ASKED: AskedCalls = {}
NO_OWNER = Owner("conversation", "", "")


class Origin(msgspec.Struct, frozen=True):
    """The identity of an exchange, which all its log entries contain. `path`: the path of the request, if `route` has
    parameters; `codec`: empty if no wire format reads the exchange; `client`: the name of its client; `demanded`: the
    policies that the key of the client demands."""

    id: str
    engine: str
    tenant: str
    tenant_name: str | None
    route: str
    path: str
    codec: str
    policies: str
    client: str = ""
    demanded: tuple[str, ...] = ()

    def members(self) -> dict[str, Any]:
        """Returns the members of every record, but for the format and the path."""
        members: dict[str, Any] = {"id": self.id, "engine": self.engine, "route": self.route, "tenant": self.tenant}
        members |= {"tenant_name": self.tenant_name, "client": self.client, "demanded": self.demanded}
        members["policies"] = self.policies
        return members


def compose(
    origin: Origin,
    outcome: str,
    notes: Notes,
    *,
    bound: BoundRules | None,
    outcomes: Sequence[Outcome],
    sides: tuple[Side, Side],
    entry: QueuedFrame | None,
    tokens: Mapping[str, str],
    seen: AnswerFacts,
    attempts: Sequence[Attempt],
    restore: Sequence[RecordedPlaces],
    fields: Sequence[FieldChange],
    owner: Owner,
    of_tasks: Mapping[str, Any],
    asked: AskedCalls,
) -> Record:
    """Returns the record, a `PrivateRecord` if policies seal its texts. `entry`: the frame of the request, once it was
    released; `attempts`: all, empty if there was only one; `restore`: where values may be restored; `fields`: what was done;
    `of_tasks`: further members; `asked`: the calls that rules asked a person about."""
    request, answer = sides
    every = (request, *(attempt.side for attempt in attempts[:-1]), answer)
    keeping = bound.keeping if bound else Keeping("none")
    paths: dict[str, str] | None = {} if keeping.keep == "sealed" else None
    writer = Writer(Masks(keeping.keep != "none", every, dict(tokens), hidden=paths))
    kind: type[Record] | partial[PrivateRecord] = Record
    if paths is not None:
        values = _values(tokens) if keeping.values else {}
        kind = partial(PrivateRecord, private=Private(owner, values, paths))
    times = notes.measures.times
    began_s = times.get("received", 0.0)
    return kind(
        v=ENTRY_VERSION,
        at=notes.measures.unix_s,
        **origin.members(),
        codec=origin.codec,
        path=origin.path,
        outcome=str(outcome),
        status=notes.status,
        model=notes.duties.model or writer.masks.word(notes.model, request),
        stream=notes.stream,
        checks=bound.digests if bound else {},
        rules=tuple(sorted({outcome.rule for outcome in outcomes if outcome.enforced})) if outcomes else (),
        shadow=tuple(sorted({outcome.rule for outcome in outcomes if not outcome.enforced})) if outcomes else (),
        decisions=tuple(writer.decisions(outcomes, every, asked)) if outcomes else (),
        request=writer.request(request, entry),
        response=writer.answer(notes.upstream_status, notes.streamed, seen, answer),
        usage=dict(seen.usage),
        sizes=dict(notes.measures.sizes),
        seals=dict(notes.measures.seals),
        scans=notes.measures.scans,
        timings={name: round((at_s - began_s) * 1e3, 3) for name, at_s in times.items() if name != "received"},
        matched=dict(bound.matched) if bound else {},
        language=notes.language,
        conversation=notes.conversation,
        signs=notes.measures.signs,
        duties=recorded_answers(notes.duties.answers) if notes.duties.answers else (),
        refusals=recorded_refusals(notes.duties.refusals) if notes.duties.refusals else (),
        plan=recorded_plan(notes.plan) if notes.plan is not UNPLANNED else None,
        fields=tuple(writer.fields(fields)) if fields else (),
        cache=notes.measures.cache,
        attempts=tuple(writer.attempts(attempts, began_s)) if attempts else (),
        saved=_saving(attempts) if attempts else None,
        no_capacity=_shortage(notes) if notes.no_capacity else None,
        error=writer.error(notes) if notes.failure else None,
        restore=tuple(restore),
        verdicts=tuple(writer.verdicts(notes.measures.verdicts)) if notes.measures.verdicts else (),
        **of_tasks,
    )


def _values(tokens: Mapping[str, str]) -> dict[str, str]:
    """Placeholder -> value. If two texts have a placeholder, the second is a masked form of the first."""
    return {token: value for value, token in reversed(list(tokens.items()))}


def passed(
    origin: Origin,
    outcome: str,
    unix_s: float,
    status: int,
    sizes: Mapping[str, int],
    seals: Mapping[str, str],
    finished_s: float,
    answers: Sequence[StoreAnswered] = (),
    refusals: Sequence[Refusal] = (),
    error: RecordedError | None = None,
) -> Record:
    """Returns the record of an exchange that no check read. `finished_s`: seconds from the request to the end; `answers`: the
    answers of the gateway's store to duties; `refusals`: what duties would have refused in shadow mode; `error`: why the
    upstream failed, if it did."""
    return Record(
        v=ENTRY_VERSION,
        at=unix_s,
        **origin.members(),
        codec="",
        outcome=str(outcome),
        status=status,
        model="",
        stream=False,
        checks={},
        rules=(),
        shadow=(),
        decisions=(),
        request=RecordedRequest(
            body=None, texts=(), uninspected=_EVERYTHING, uninspected_kinds=_EVERYTHING, unmapped=()
        ),
        response=RecordedAnswer(
            status=None,
            streamed=False,
            model="",
            finish=(),
            runs=(),
            withheld=(),
            texts=(),
            uninspected=_EVERYTHING,
            uninspected_kinds=_EVERYTHING,
            unmapped=(),
        ),
        usage={},
        scans=0,
        sizes=dict(sizes),
        seals=dict(seals),
        timings={"finished": _since(0.0, finished_s)},
        duties=recorded_answers(answers),
        refusals=recorded_refusals(refusals),
        error=error,
    )


def intent(origin: Origin, unix_s: float, seals: Mapping[str, str]) -> Intent:
    """Returns the log entry of an exchange that is about to go upstream: tenant, route, time and policies, but no text."""
    return Intent(
        v=ENTRY_VERSION,
        at=unix_s,
        id=origin.id,
        engine=origin.engine,
        tenant=origin.tenant,
        route=origin.route,
        policies=origin.policies,
        seals={name: seals[name] for name in ("request", "upstream") if name in seals},
    )


def recorded_answers(answers: Sequence[StoreAnswered]) -> tuple[RecordedDuty, ...]:
    """Returns the answers of the store to duties, in order."""
    return tuple([RecordedDuty(duty=told.duty, answers=told.answers) for told in answers])


def recorded_refusals(refusals: Sequence[Refusal]) -> tuple[RecordedRefusal, ...]:
    """Returns what duties refused, and what they would have refused in shadow mode."""
    return tuple([_refusal(refusal) for refusal in refusals])


def _refusal(refusal: Refusal) -> RecordedRefusal:
    mode: Literal["enforce", "shadow"] = "enforce" if refusal.enforced else "shadow"
    return RecordedRefusal(duty=refusal.duty, name=refusal.name, policy=refusal.policy, code=refusal.code, mode=mode)


def recorded_feedback(tree: Mapping[str, Any]) -> RecordedFeedback:
    """Returns the numbers and choices of feedback. Its comments are texts of the request, masked like others. `tree`: its body,
    which `FeedbackCodec.check` has accepted."""
    score = tree.get("score")
    return RecordedFeedback(
        exchange=tree["id"],
        thumbs=tree.get("thumbs"),
        score=None if score is None else round(float(score), _SCORE_DIGITS),
        spans=tuple(
            RecordedOpinion(start=span["start"], end=span["end"], thumbs=span.get("thumbs"))
            for span in tree.get("spans", ())
        ),
    )


def _since(began_s: float, at_s: float) -> float:
    """Milliseconds from `began_s` to `at_s`."""
    return round((at_s - began_s) * 1000.0, 3)


def _saving(attempts: Sequence[Attempt]) -> RecordedSaving:
    """The output tokens, seconds and money that were saved by ending wrong answers early, at least: each would have been as
    long as the longest wrong answer of the exchange. A right answer is no measure, because its length says nothing about
    wrong ones. The money is 0 without a price."""
    wrong = attempts[:-1]
    longest = max(attempt.tokens.answer for attempt in wrong)
    longest_s = max(attempt.ended_s - attempt.began_s for attempt in wrong)
    cut = [attempt for attempt in wrong if attempt.cut]
    tokens = sum(longest - attempt.tokens.answer for attempt in cut)
    seconds = math.fsum(longest_s - (attempt.ended_s - attempt.began_s) for attempt in cut)
    return RecordedSaving(
        tokens=tokens, seconds=round(seconds, 3), money=round(tokens * float(attempts[-1].tokens.price) / 1e6, 9)
    )


def plain_path(path: str) -> str:
    """Returns a path with `*` instead of its steps that may be texts."""
    return _plain_words(_STEP, path)


def _plain_words(words: re.Pattern[str], text: str) -> str:
    """Returns a text with `*` instead of its `words` that have not the shape of a field name, and of its numbers, if they have
    the digits of a number that a check would read."""
    shown = words.sub(_plain_word, text)
    return shown if sum(map(len, _DIGITS.findall(shown))) < LEAST_DIGITS else _DIGITS.sub("*", shown)


def _plain_word(found: re.Match[str]) -> str:
    bare = found[0].strip('"')
    return found[0] if bare.isdecimal() or (is_plain_key(bare) and is_harmless(bare)) else "*"


def _shortage(notes: Notes) -> RecordedShortage | None:
    if notes.no_capacity is None:
        return None
    check, shortage = notes.no_capacity
    return RecordedShortage(check=check, reason=shortage.value)


class Writer(msgspec.Struct, frozen=True):
    """Writes the parts of a record. `masks`: removes sensitive values from them."""

    masks: Masks

    def request(self, side: Side, entry: QueuedFrame | None) -> RecordedRequest:
        """Writes the request. `entry`: its frame, once it was released."""
        return RecordedRequest(
            body=self.masks.request_body(entry) if entry and self.masks.keep and side.read else None,
            texts=self._texts(side),
            uninspected=self._uninspected(side),
            uninspected_kinds=tuple(side.uninspected.values()) if side.read else _EVERYTHING,
            unmapped=self._unmapped(side),
        )

    def answer(self, status: int | None, streamed: bool, seen: AnswerFacts, side: Side) -> RecordedAnswer:
        """Writes an answer of the model."""
        return RecordedAnswer(
            status=status,
            streamed=streamed,
            model=self.masks.word(seen.model, side),
            finish=tuple([self.masks.scrub(reason) if is_word(reason) else "?" for reason in seen.finish]),
            runs=tuple(self._runs(side) if side.gate.lanes.every else side.runs),
            opening=side.opening,
            withheld=tuple(seen.withheld),
            texts=self._texts(side),
            uninspected=self._uninspected(side),
            uninspected_kinds=tuple(side.uninspected.values()) if side.read else _EVERYTHING,
            unmapped=self._unmapped(side),
        )

    def attempts(self, attempts: Sequence[Attempt], began_s: float) -> Iterator[RecordedAttempt]:
        """Writes all attempts. The texts of the last attempt are the record's `response`."""
        for attempt in attempts:
            is_last = attempt is attempts[-1]
            yield RecordedAttempt(
                decision=attempt.decision,
                rule=attempt.rule,
                errors=tuple(self._faults(attempt)),
                cut=attempt.cut,
                tokens=attempt.tokens.total,
                output_tokens=attempt.tokens.answer,
                counted=attempt.tokens.is_counted,
                began=_since(began_s, attempt.began_s),
                ended=_since(began_s, attempt.ended_s),
                upstream=attempt.plan.upstream,
                model=attempt.plan.model,
                cause="" if is_last else attempt.seen.cause,
                usage=None if is_last else attempt.seen.usage,
                response=None if is_last else self.answer(attempt.status, attempt.streamed, attempt.seen, attempt.side),
            )

    def decisions(
        self,
        outcomes: Sequence[Outcome],
        sides: Sequence[Side],
        asked: AskedCalls,
    ) -> Iterator[RecordedDecision]:
        """Writes the rules that held, each with its finding. `sides`: the request, then the answers in order. `asked`: the
        calls that rules asked a person about."""
        lanes = {
            # The request and the first answer share the number 0; their channels tell them apart.
            (max(0, number - 1), lane.channel, finding): lane
            for number, side in enumerate(sides)
            for lane in side.gate.lanes.every
            for finding in lane.progress.findings
        }
        for outcome in outcomes:
            lane, finding = lanes[outcome.attempt, outcome.channel, outcome.finding], outcome.finding
            start, end = self.masks.masked(lane).span(finding.start, finding.end)
            is_asked = bool(asked) and outcome.enforced and isinstance(outcome.decision, Confirm)
            at = outcome.attempt, outcome.channel.direction, outcome.channel.path
            confirmation, approved_by = asked.get(at, ("", "")) if is_asked else ("", "")
            yield RecordedDecision(
                policy=outcome.policy,
                rule=outcome.rule,
                action=outcome.action,
                mode="enforce" if outcome.enforced else "shadow",
                direction=outcome.channel.direction,
                path=self.masks.path(outcome.channel.path),
                check=finding.check,
                label=finding.label,
                start=start,
                end=end,
                attempt=outcome.attempt,
                confirmation=confirmation,
                approved_by=approved_by,
            )

    def verdicts(self, verdicts: Sequence[ModelVerdict]) -> Iterator[ModelVerdict]:
        """Writes what models at upstreams said about texts."""
        for verdict in verdicts:
            yield msgspec.structs.replace(verdict, path=self.masks.path(verdict.path))

    def fields(self, changes: Sequence[FieldChange]) -> Iterator[RecordedField]:
        """Writes what policies did with fields of the request."""
        for change in changes:
            mode: Literal["enforce", "shadow"] = "enforce" if change.enforced else "shadow"
            yield RecordedField(
                field=self.masks.path(change.place), action=change.action, policy=change.policy, mode=mode
            )

    def error(self, notes: Notes) -> RecordedError | None:
        """Writes the reason why the exchange was refused or failed; `None` if it was not."""
        failure = notes.failure
        if isinstance(failure, DownstreamError):
            return RecordedError(code=failure.code, field=self.masks.scrub(failure.field or "") or None)
        return RecordedError(code=failure.code, message=failure.message, cause=failure.cause) if failure else None

    def _texts(self, side: Side) -> tuple[RecordedText, ...]:
        lanes = side.gate.lanes
        cut = lanes.cut
        return tuple([self._text(lane, lanes.joints.get(lane), cut) for lane in lanes.every]) if lanes.every else ()

    def _uninspected(self, side: Side) -> tuple[str, ...]:
        return tuple(self.masks.path(path) for path in side.uninspected) if side.read else _EVERYTHING

    def _unmapped(self, side: Side) -> tuple[str, ...]:
        if not side.gate.lanes.every:
            return ()
        lanes = [lane for lane in side.gate.lanes.every if is_unmapped(lane)]
        return tuple(sorted({self.masks.path(lane.channel.path) for lane in lanes})) if lanes else ()

    def _text(self, lane: Lane, joint: Joint | None, cut: CutTexts | None) -> RecordedText:
        shown = self.masks.masked(lane)
        shape = None
        if lane.shape and shown.text is not None:
            words = (self.masks.scrub(word) if isinstance(word, str) else word for word in lane.shape.shown_path)
            shape = lane.shape.where, tuple(words)
        return RecordedText(
            path=self.masks.path(lane.channel.path),
            kind=lane.channel.kind,
            chars=lane.text.total,
            text=shown.text,
            checks=tuple(dict.fromkeys(check.name for check in (*lane.progress.checks, *lane.progress.later))),
            findings=tuple(
                self._finding(finding, shown.span(finding.start, finding.end)) for finding in lane.progress.findings
            ),
            edits=tuple(dict.fromkeys(shown.span(start, end) for start, end, _ in lane.rewrite.edits)),
            released=shown.wire_end(lane.rewrite.sent),
            open=not lane.text.ended,
            encoded=lane.json,
            number=lane.place.number,
            unmapped=lane.place.unmapped and lane.channel.kind != "unmapped",
            fixed=lane.place.fixed,
            judged=lane.judged or bool(lane.quotation.fault_end and not lane.text.ended),
            shape=shape,
            run=self.masks.path(joint.lane.channel.path) if joint else "",
            grounds=tuple(  # the parts of a message are read apart and together, so that some are there twice
                self._finding(ground, shown.span(ground.start, ground.end))
                for ground in sorted(set(lane.progress.grounds))
            )
            if lane.progress.grounds
            else (),
            span=None if cut is None else self._span(lane, cut),
        )

    def _span(self, lane: Lane, cut: CutTexts) -> tuple[int, int] | None:
        """The place of an excerpt in the text that holds it, as the record shows that; `None` for any other text."""
        holder = cut.holder_of(lane)
        if holder is None:
            return None
        place = cut.places[lane]
        return self.masks.masked(holder).wire.translate_span(place.start, place.end)

    def _finding(self, finding: Finding, span: tuple[int, int]) -> RecordedFinding:
        return RecordedFinding(
            check=finding.check,
            label=finding.label,
            start=span[0],
            end=span[1],
            score=round(float(finding.score), 4),
            repair=finding.repair is not None,
            origins=tuple(self._origins(finding)) if finding.details else (),
        )

    def _place(self, origin: ValueOrigin) -> tuple[str, tuple[int, int]]:
        """The path and the span of a place in the request. Offsets are those of the text as the record shows it."""
        lane = self.masks.sides[0].gate.lanes.at(origin.path)
        if lane is None or origin.is_earlier:
            return plain_path(origin.path), (origin.start, origin.end)
        start, end = unedited(lane.rewrite.edits, origin.start, origin.end)
        return self.masks.path(origin.path), self.masks.masked(lane).span(start, end)

    def _origins(self, finding: Finding) -> Iterator[RecordedOrigin]:
        """Where a value in the arguments of a call came from, or what bears on a statement."""
        for detail in finding.details:
            if (origin := detail.origin) is None:
                continue
            path, span = self._place(origin)
            yield RecordedOrigin(
                argument=detail.shown,
                kind=origin.kind,
                path=path,
                start=span[0],
                end=span[1],
                earlier=origin.is_earlier,
            )

    def _faults(self, attempt: Attempt) -> Iterator[RecordedFault]:
        """The faults of an answer. They quote the schema of the request: if no check read the request, only words with the
        shape of a field name and short numbers are kept of it."""
        is_read = self.masks.sides[0].read
        for detail in attempt.details:
            place, expected = self.masks.scrub(detail.shown), self.masks.scrub(detail.expected)
            if not is_read:
                place, expected = plain_path(place), _plain_words(_QUOTED, expected)
            yield RecordedFault(place=place, expected=expected, found=detail.found)

    def _runs(self, side: Side) -> Iterator[tuple[int, int]]:
        """The order in which the texts of an answer came, as `(text, masked length)`; text -1 is a frame without text."""
        done: dict[int, int] = {}
        for index, end in side.runs:
            if index < 0:
                yield -1, 0
                continue
            lane = side.gate.lanes.every[index]
            shown_end = self.masks.masked(lane).wire_end(lane.rewrite.sent if end == lane.rewrite.released else end)
            yield index, shown_end - done.get(index, 0)
            done[index] = shown_end
