"""The response half of an exchange: decodes, gates and checks an answer of the model, and asks for the next attempt.

An answer flows through a gate and leaves frame by frame. If a rule may ask for another answer (`action: retry`) or judges the
form of the whole answer, all frames are held to the end, so that no part of a wrong answer is sent. The first finding that
such a rule names ends the answer: the upstream is cancelled, and the next attempt tells the model what was wrong. Decisions
are made in the order of the frames, so the attempts are a function of the bytes, not of their chunks.

In: inputs of the upstream, scans. Out: transitions. If another attempt follows, the phase goes on with its answer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import structs

from guardproxy.decisions import Confirm, Retry, Stop
from guardproxy.errors import ErrorCode
from guardproxy.events import Event, Fault, Frame, Text
from guardproxy.exchange.gate.expected_schema import Forms
from guardproxy.exchange.gate.gate import Lane, Piece, QueuedFrame
from guardproxy.exchange.gate.notes import Side
from guardproxy.exchange.gate.offsets import moved
from guardproxy.exchange.inputs.recollection import MemoryClaimed
from guardproxy.exchange.inputs.setting import Setting
from guardproxy.exchange.inputs.transcript import (
    CancelUpstream,
    Command,
    DataReceived,
    ReleaseUpstream,
    ResponseEnded,
    ResponseStarted,
    RunScans,
    Scanned,
    SendUpstream,
    UpstreamFailed,
)
from guardproxy.exchange.phases.client import Client
from guardproxy.exchange.phases.guard import Guard
from guardproxy.exchange.phases.keep_alive import Patience
from guardproxy.exchange.phases.later_checks import LaterChecks
from guardproxy.exchange.phases.ledger import Ledger
from guardproxy.exchange.phases.no_content import NoContentDecoder
from guardproxy.exchange.phases.offered_tools import listing_filter
from guardproxy.exchange.phases.scans import Scans
from guardproxy.exchange.phases.stage import UnusableAnswer
from guardproxy.exchange.phases.stages import Stages
from guardproxy.exchange.phases.states import Answering, Over, State, Transition, Waiting
from guardproxy.exchange.routes.attempts import LATE, Answer, Attempts, Extent, NextAttempt
from guardproxy.findings import Finding
from guardproxy.policy import BoundRules
from guardproxy.policy.sections import TOOLS
from guardproxy.wire import Decoder
from guardproxy.wire.contract import StoredIds
from guardproxy.wire.decoding import WholeDecoder

_IDLE = WholeDecoder({}, lambda tree, seen: None, limit_bytes=0)  # of every answer that has not begun; it gets no data
_STATES: Mapping[Extent, Answering] = {"all": State.HOLDING, "start": State.HOLDING, "none": State.ANSWERING}
Findings = Iterable[tuple[QueuedFrame, Piece, int, Finding]]
"""Findings with their frame, their piece of it, and their offset in the text."""


@dataclass(slots=True)
class AnswerPhase:
    """The phase of the answers: from the request that asks for the first of them to the end of the last."""

    setting: Setting
    guard: Guard
    ledger: Ledger
    client: Client
    attempts: Attempts
    patience: Patience
    answer: Answer
    """The answer that is under way."""
    _later: LaterChecks | None = None  # the checks that read the answer last, once it is complete
    _rest: tuple[list[bytes], bytes] | None = None  # the end of the answer, which waits for them
    _scans: Scans = field(init=False)
    _stored: StoredIds | None = None  # how the answer says under which id it is stored, if values may come back later
    _fault_status: int = field(init=False)  # the status for the client, if the answer ends in a fault

    def __post_init__(self) -> None:
        self._begin(self.answer)

    def _begin(self, answer: Answer) -> None:
        """Goes on with an answer. Scans of the answer before it change nothing any more."""
        self.answer = answer
        self.ledger.begin_answer(answer)
        self._scans = Scans(answer.side.gate, self.guard.editor, self.ledger.notes)
        self._later = self._rest = None
        self._fault_status = 502

    @property
    def state(self) -> Waiting | Answering:
        """The state of the exchange while it is in this phase."""
        return State.WAITING if self.answer.status is None else _STATES[self.answer.held.extent]

    # Inputs.

    def started(self, event: ResponseStarted) -> Transition[Answering | Waiting | Over]:
        """Takes the status and the media type."""
        answer, bound, at_s = self.answer, self.guard.bound, event.at_s
        contract, editor = self.setting.codec.contract, self.guard.editor
        media = contract.media
        failed, streamed = event.status >= 400, event.media_type == media.streamed
        method = self.setting.address.method if media.empty else ""
        has_content = not (media.empty and (event.status in media.empty or (method == "DELETE" and not failed)))
        self.ledger.note_head(event, streamed=streamed)
        # Before the client's head is fixed: the status of an upstream that is given up must not become the client's.
        if failed and (following := self._fall_back("failed", at_s)):
            return following
        self.client.expect(event.status, streamed=streamed)
        # Either the client was promised a stream, or no decoder reads this type. Passed on unread, it would bypass the
        # checks.
        if has_content and not streamed and (self.client.has_head or event.media_type != media.whole):
            if not failed:
                code = ErrorCode.UPSTREAM_CONTENT_TYPE
                return self._fall_back(code, at_s) or self._fail(Fault(code), at_s)
            message = f"the upstream answered with status {event.status} and no readable error"
            return self._fail(Fault(ErrorCode.UPSTREAM_ERROR, message), at_s, event.status)
        # Without a rule for answers, texts are still needed where placeholders are restored or a changed system prompt
        # is hidden.
        read = bool(bound and bound.reads("response")) or editor.restores or self.guard.hides
        answer.side.begin(read=read, quotes=self.setting.history.quotable(bool(bound and bound.retries)))
        is_kept = editor.restores or self.guard.memory is not None
        self._stored = contract.stored if contract.stored is not None and is_kept else None
        if bound and not failed:
            # Text that has left ends all failover, so the start of a stream is held while another destination may be
            # asked.
            early = self.attempts.failover is not None and self.attempts.may_fail_over and read
            answer.held.extent = extent(bound, self.guard.forms, streamed=streamed, early=early)
        # A person approves a whole call, so all its arguments must be known before any of them leaves.
        if self.guard.confirmations is not None:
            answer.side.gate.lanes.holds_calls = True
            self._scans.found = []
        self.guard.forms.note_streamed(streamed)
        if not has_content:
            answer.decoder, answer.streamed = NoContentDecoder(), False
            self.client.expect(event.status, streamed=False)
            return _STATES[answer.held.extent], []
        answer.decoder = new_decoder(self.guard, streamed=streamed, failed=failed, read=read)
        if streamed and method == "GET" and not failed:
            # The client waits for the head, and nobody knows when the first message comes.
            answer.held.extent = "none"
            answer.held.listens = self.client.has_text = self.guard.is_listening = True
            return State.ANSWERING, self.client.send(self.setting.codec.keep_alive(), at_s)
        return _STATES[answer.held.extent], []

    def received(self, event: DataReceived) -> Transition[Answering | Waiting | Over]:
        """Takes bytes of the answer."""
        if self._rest is not None:  # its last frame was read
            return _STATES[self.answer.held.extent], []
        self.answer.size_bytes += len(event.data)
        events = self.answer.decoder.feed(event.data)
        if not events:  # a part of a frame changes nothing yet
            return _STATES[self.answer.held.extent], []
        return self._take(events, event.at_s)

    def ended(self, event: ResponseEnded) -> Transition[Answering | Waiting | Over]:
        """Takes the end of the answer's body."""
        self.answer.ended = True
        if self._rest is not None:
            return _STATES[self.answer.held.extent], []
        return self._take(self.answer.decoder.end(), event.at_s)

    def upstream_failed(self, event: UpstreamFailed) -> Transition[Waiting | Over]:
        """Takes a failure of the upstream before its answer."""
        self.answer.given_up = event.cause
        return self._fall_back(event.code, event.at_s) or self._fail(
            Fault(event.code, event.message, event.cause), event.at_s, event.status
        )

    def broken_off(self, event: UpstreamFailed) -> Transition[Answering | Waiting | Over]:
        """Takes a failure of the upstream amid its answer. The frames before it are sent first."""
        # The answer was complete before the failure, and its end only waits for the last checks.
        if self._rest is not None:
            return _STATES[self.answer.held.extent], []
        self.answer.given_up = event.cause
        if following := self._fall_back(event.code, event.at_s):
            return following
        self._fault_status = event.status
        return self._take([Fault(event.code, event.message, event.cause)], event.at_s)

    def scanned(self, event: Scanned) -> Transition[Answering | Waiting | Over]:
        """Takes the scans under way. Scans of a discarded answer change nothing."""
        if self._rest is not None:
            return self._judged(event)
        if not self._scans.pending:
            return _STATES[self.answer.held.extent], []
        if shortage := self.guard.shortage(self._scans.distant, event.scans):
            self._scans.drop()
            return self.client.no_capacity(shortage, event.at_s, cancels=self.is_receiving)
        self._scans.learn(event.scans)
        return self._advance(event.at_s)

    def claimed(self, event: MemoryClaimed) -> Transition[Answering | Waiting | Over]:
        """Takes the approvals that this exchange claimed. Those for a discarded answer count for the next one."""
        if (confirmations := self.guard.confirmations) is not None and confirmations.is_claiming:
            confirmations.claimed(event)
            return self._advance(event.at_s)
        return self.state, []

    def waited(self, at_s: float) -> Transition[Answering | Waiting | Over]:
        """Sends a keep-alive if one is due, or ends an attempt that takes too long."""
        retry = self.attempts.retry
        if retry is not None and self.patience.is_over(at_s):
            self.answer.given_up = LATE
            return self._fall_back(LATE, at_s) or self.client.block(retry, at_s, "blocked_response")
        return self.state, self.patience.keep_alive(self.answer, at_s)

    @property
    def is_receiving(self) -> bool:
        """Whether the upstream is sending its answer."""
        return self.answer.status is not None and not self.answer.ended

    # The flow of the answer.

    def _take(self, events: Sequence[Event], at_s: float) -> Transition[Answering | Waiting | Over]:
        if bound := self.guard.bound:
            try:
                for stage in bound.derived[Stages].answer:
                    events = stage.read(self, events)
            except UnusableAnswer as why:  # raised only if another destination is left
                return self._fall_back(str(why), at_s) or self._fail(Fault(ErrorCode.UPSTREAM_ERROR), at_s)
        self.answer.side.gate.push(events)
        return self._advance(at_s)

    def _advance(self, at_s: float) -> Transition[Answering | Waiting | Over]:
        answer, gate, limit_chars = self.answer, self.answer.side.gate, self.setting.limits.held_chars
        bound = self.guard.bound
        if self._scans.pending:
            return _STATES[answer.held.extent], []
        if self._scans.found is not None and (claiming := self._claiming(self._scans.found)) is not None:
            return _STATES[answer.held.extent], claiming
        # This comes before the release: placeholders are looked for at once, and what that settles may leave now. If too much
        # is held, text that could wait for more is scanned too, since it may leave then.
        scan, out = self._scans.ask(all_text=gate.held > limit_chars), list[bytes]()
        if (ending := self._release(out, at_s)) is not None:
            return ending
        commands = self.client.send(b"".join(out), at_s) if out else []
        if scan:
            return _STATES[answer.held.extent], [*commands, scan]
        # The fault comes last, so that the client gets every frame before it, however the bytes were cut.
        if gate.fault:
            state, ends = self._fall_back(gate.fault.code, at_s) or self._fail(gate.fault, at_s, self._fault_status)
            return state, commands + ends
        # Everything that arrived is scanned by now, and only more text could settle what is held.
        if gate.held > limit_chars:
            state, ends = self._fail(Fault(ErrorCode.HOLD_LIMIT), at_s)
            return state, commands + ends
        # The body had no frame that ends it, and its decoder found no fault: it is complete. A stream of messages that nobody
        # announces ends between two of them when it is as long as an answer may be: its client comes back.
        is_long = answer.held.listens and answer.size_bytes > self.setting.limits.answer_bytes
        if (answer.ended or is_long) and gate.empty:
            if not answer.ended:
                commands.append(CancelUpstream())
            if bound is not None and bound.has_later and (asking := self._ask_later(answer.held.data, b"", at_s)):
                return _STATES[answer.held.extent], commands + asking
            rest = b"".join([*answer.held.data, self.client.trailer(self.client.completed)])
            state, ends = self.client.answered(rest, at_s)
            return state, commands + ends
        return _STATES[answer.held.extent], commands

    def _claiming(self, found: list[Lane]) -> list[Command] | None:
        """The commands that claim approvals for calls, before any of them leaves; `None` if nothing is to wait for."""
        confirmations = self.guard.confirmations
        if confirmations is not None and confirmations.is_claiming:
            return []
        claim = self.guard.claim(found)
        found.clear()
        return None if claim is None else [claim]

    def _release(self, out: list[bytes], at_s: float) -> Transition[Answering | Waiting | Over] | None:
        """Adds the frames that may leave to `out`, in order. Returns what follows from the first finding, frame or fault that
        ends the answer; `None` if the answer goes on."""
        answer, held, gate = self.answer, self.answer.held, self.answer.side.gate
        stored, turn = self._stored, self.guard.editor.turn
        for entry in gate.release():
            answer.side.note(entry)
            if stored is not None and not turn.stored_id:
                turn.stored_id = stored.own_id(entry.frame.tree)
            # Each finding is decided before the next is looked at: those after the one that ends the answer count for nothing.
            for piece in entry.pieces:
                if piece.lane.progress.shown < len(piece.lane.progress.findings):
                    findings = ((entry, each, at, finding) for each in entry.pieces for at, finding in each.findings())
                    if (ending := self._ending(findings, out, at_s)) is not None:
                        return ending
                    break
            texts, changed = entry.texts()
            counts = moved(entry.frame, gate, self.ledger.request.gate) if entry.frame.counts else []
            data = entry.frame.data
            if entry.left_out is not None:
                self._leave_out(entry, entry.left_out)
            if changed or counts or entry.left_out is not None:
                data = self.setting.codec.edited(entry.frame, [*texts, *counts])
            if held.extent == "start" and begins(entry, texts, has_retries=self.guard.has_retries):
                self._let_go(out)
            # The client takes the terminal frame for the end, so it is sent with `Finish`, once the record is durable.
            if entry.frame.terminal:
                bound, before = self.guard.bound, [*held.data, *out]
                if bound is not None and bound.has_later and (asking := self._ask_later(before, data, at_s)):
                    return _STATES[held.extent], asking
                rest = b"".join([*before, self.client.trailer(self.client.completed), data])
                release: list[Command] = [ReleaseUpstream()] if self.is_receiving else []
                state, commands = self.client.answered(rest, at_s)
                return state, [*release, *commands]
            if held.extent == "none":
                out.append(data)
                answer.decoder.sent(_as_sent(entry.frame, data))
                self.client.has_text = True
            else:
                held.add(entry.frame, data, sum(len(text) for _, text in texts))
                # The gate counts only what it has not released. Frames that wait here have a count of their own, under
                # the same limit.
                if held.chars > self.setting.limits.held_chars:
                    return self._fail(Fault(ErrorCode.HOLD_LIMIT), at_s)
        # A finding in a frame that still waits may be certain already. There is no need to wait for an answer that ends there.
        # A person who is asked about a call must see all of it.
        is_certain = gate.held and self.guard.confirmations is None
        return self._ending(ahead(answer.side), out, at_s) if is_certain else None

    def _ask_later(self, data: list[bytes], last: bytes, at_s: float) -> list[Command]:
        """The commands that scan a complete answer with the checks that read it last; empty if there are none. `data`: what was
        not sent yet; `last`: the frame that ends a stream, empty without one."""
        later = self._later = LaterChecks(self.guard, self.ledger.notes)
        later.begin(self.answer.side.gate, (self.ledger.request, self.answer.side), lambda channel, check: True)
        if not later.jobs:
            return []
        # They would read text behind the end of the answer. Their command is not sent, so no scans come for them.
        self._scans.drop()
        sending: list[Command] = []
        if self.answer.held.extent == "none" and data:  # no rule needs these frames
            sending, data = self.client.send(b"".join(data), at_s), []
        self._rest = data, last
        return [*sending, RunScans(later.jobs)]

    def _judged(self, event: Scanned) -> Transition[Answering | Waiting | Over]:
        """Takes the scans of the checks that read the answer last."""
        at_s, later, rest = event.at_s, self._later, self._rest
        assert later is not None and rest is not None  # noqa: S101, PT018 - the end of the answer waits for the scans
        if shortage := self.guard.shortage(later.jobs, event.scans):
            later.note(event.scans)
            return self.client.no_capacity(shortage, at_s, cancels=self.is_receiving)
        for decision, lane, finding in later.learn(event.scans):
            assert not isinstance(decision, Confirm)  # noqa: S101 - no rule that asks a person has such a check
            if decision is None or (isinstance(decision, Retry) and self._passes(decision, lane, finding, at_s)):
                continue
            if self.client.has_text:
                return self.client.stop([], decision, self.answer.decoder, at_s)
            if isinstance(decision, Stop):
                return self.client.block(decision, at_s, "blocked_response")
            return self._retry(decision, lane, finding, at_s)
        release: list[Command] = [ReleaseUpstream()] if self.is_receiving else []
        data, last = rest
        state, commands = self.client.answered(
            b"".join([*data, self.client.trailer(self.client.completed), last]), at_s
        )
        return state, [*release, *commands]

    def _passes(self, retry: Retry, lane: Lane, finding: Finding, at_s: float) -> bool:
        """Whether an answer that a rule refuses is sent as it is."""
        return self.attempts.passes(retry, self.answer, self.answer.chars(finding, lane), self.ledger.spent_s(at_s))

    def _let_go(self, out: list[bytes]) -> None:
        """Adds the frames that were held at the start of the answer to `out`."""
        for frame, data in self.answer.held.release():
            out.append(data)
            self.answer.decoder.sent(_as_sent(frame, data))
        self.client.has_text = True

    # Decisions.

    def _ending(
        self, findings: Findings, out: list[bytes], at_s: float
    ) -> Transition[Answering | Waiting | Over] | None:
        """What follows from the first finding that ends the answer; `None` if no finding ends it. `out`: the frames to send
        before."""
        for entry, piece, at, finding in findings:
            lane = piece.lane
            stop = lane.stop_of(finding)
            decision = self.guard.tally.see(lane.channel, finding)
            if isinstance(decision, Confirm):
                decision = self.guard.tally.weaker if self.guard.passes(lane) else self.guard.ask(lane, decision)
            decision = decision or stop
            # An answer is repaired once, so that repairs come to an end: what is wrong after that is a fault like others.
            mends = finding.repair is not None and not self.answer.mended
            if isinstance(decision, Retry) and not mends and self._passes(decision, lane, finding, at_s):
                decision = stop
            if decision is None or self._leaves_out(entry, lane):
                continue
            # Text before the fault counts as sent, whatever frames it came in.
            texts, _ = entry.texts(until=(piece, at))
            if self.answer.held.extent == "start" and any(new for text, new in texts if not text.fixed):
                self._let_go(out)
            # Once text has left, no other answer can follow: the client would get the beginning of one and the end of another.
            if self.client.has_text:
                # What is left of a message that nobody asked for says where the stream goes on, without this message.
                is_cut = self.answer.held.listens or any(new for _, new in texts)
                if is_cut and (last := self.setting.codec.cut(entry.frame, texts)):
                    out.append(last)
                    self.answer.decoder.sent(_as_sent(entry.frame, last))
                return self.client.stop(out, decision, self.answer.decoder, at_s)
            if mends:
                return self._mend(decision.rule, lane, finding, at_s)
            if isinstance(decision, Stop):
                return self.client.block(decision, at_s, "blocked_response")
            return self._retry(decision, lane, finding, at_s)
        return None

    def _leaves_out(self, entry: QueuedFrame, lane: Lane) -> bool:
        """Whether a text that may not be sent belongs to an entry of a list, which is left out. The rest of the answer goes
        on."""
        lists = self.setting.codec.contract.lists
        if lists is None or not (place := lists.entry_of(lane.channel.path)):
            return False
        if entry.left_out is None:
            entry.left_out = {}
        entry.left_out[place] = None
        return True

    def _leave_out(self, entry: QueuedFrame, places: Collection[str]) -> None:
        """Leaves the entries of lists at these places out of a frame, with all their texts."""
        entry.frame = structs.replace(entry.frame, left_out=tuple(places))
        lists = self.setting.codec.contract.lists
        assert lists is not None  # noqa: S101 - it has named the places
        for piece in entry.pieces:
            if lists.entry_of(piece.lane.channel.path) in places:
                piece.lane.rewrite.leave_out()

    def _fail(self, fault: Fault, at_s: float, status: int = 502) -> Transition[Over]:
        return self.client.fail(fault, at_s, status, cancels=self.is_receiving)

    # Further attempts.

    def _retry(self, retry: Retry, lane: Lane, finding: Finding, at_s: float) -> Transition[Waiting | Over]:
        """Starts another attempt. Blocks the exchange if no attempt is left."""
        upcoming = self.attempts.following(retry, self.answer, lane, finding, self.ledger.spent_s(at_s))
        if upcoming is None:
            return self.client.block(retry, at_s, "blocked_response")
        return self._discard(upcoming, at_s, lane, finding)

    def _fall_back(self, reason: str, at_s: float) -> Transition[Waiting] | None:
        """Asks the next destination of a route, or the fallback model of the rule after a failed retry; returns `None` if there
        is neither."""
        upcoming = None if self.client.has_text else self.attempts.after_failure(reason, self.answer)
        return None if upcoming is None else self._discard(upcoming, at_s)

    def _discard(
        self, upcoming: NextAttempt, at_s: float, lane: Lane | None = None, finding: Finding | None = None
    ) -> Transition[Waiting]:
        """Discards the answer and sends the next attempt."""
        commands: list[Command] = [CancelUpstream()] if self.is_receiving else []
        self.attempts.end(self.answer, upcoming.decision, at_s, upcoming.rule, finding, lane, is_cut=bool(commands))
        self.guard.discard_answer()
        self._begin(new_answer(self.guard, at_s))
        number, attempts = self.guard.tally.attempt, self.attempts
        attempts.begin(upcoming)
        return State.WAITING, [
            *commands,
            SendUpstream(upcoming.body, 0, number, attempts.plan.upstream, attempts.path),
        ]

    def _mend(self, rule: str, lane: Lane, finding: Finding, at_s: float) -> Transition[Answering | Waiting | Over]:
        """Replaces a text by its repair, and checks the whole answer again."""
        old = self.answer
        self.attempts.end(old, "repair", at_s, rule, finding, lane)
        # The repaired answer is an attempt of its own: the findings of the two must not be taken for those of one text.
        self.guard.tally.next_attempt()
        mended = old.again(self.guard.side())
        mended.side.gate.push(with_repair(old.events, lane, finding.repair or ""))
        self._begin(mended)
        return self._advance(at_s)


def begins(entry: QueuedFrame, texts: Sequence[tuple[Text, str]], *, has_retries: bool) -> bool:
    """Whether the content of an answer begins with a frame. Content without text counts if only a failure can lead to another
    answer. `has_retries`: whether a rule can."""
    return any(not text.fixed for text, _ in texts) or bool(entry.opaque and not has_retries)


def ahead(side: Side) -> Iterator[tuple[QueuedFrame, Piece, int, Finding]]:
    """The findings in the next frame, which is not settled yet. If one of them ends the answer, that frame is the last."""
    for entry, piece, at, finding in side.gate.ahead():
        side.note(entry)
        yield entry, piece, at, finding


def _as_sent(frame: Frame, data: bytes) -> Frame:
    """The frame with the bytes that the client gets."""
    return frame if data is frame.data else structs.replace(frame, data=data)


def new_answer(guard: Guard, at_s: float) -> Answer:
    """An answer before its first byte."""
    return Answer(guard.side(), _IDLE, at_s)


def new_decoder(guard: Guard, *, streamed: bool, failed: bool, read: bool) -> Decoder:
    """The decoder of an answer that begins. `failed`: its status is an error; `read`: some rule reads its texts."""
    setting, bound = guard.setting, guard.bound
    decoder: Any = setting.codec.decoder(
        streamed=streamed,
        failed=failed,
        limit_bytes=setting.limits.answer_bytes,
        read=read,
        guarded=bool(bound and bound.guards),
        shapes=guard.shapes,
    )
    if hasattr(decoder, "bounds"):  # a `Bounded`; a check by `isinstance` costs ten times as much
        decoder.bounds = setting.limits.bounds
    if setting.codec.contract.calls.by_route and bound and TOOLS.bound(bound.sections) and hasattr(decoder, "withhold"):
        decoder.withhold = listing_filter(bound, guard.forms.server) or decoder.withhold
    bounded: Decoder = decoder
    return bounded


def extent(bound: BoundRules, forms: Forms, *, streamed: bool, early: bool = False) -> Extent:
    """How much of an answer is held until its end. `early`: whether another upstream may be asked until a text has left."""
    # A plain answer is a single frame: where a rule may retry, all of it is held.
    if bound.holds_back(forms.judges) or (bound.retries and not streamed):
        return "all"
    return "start" if bound.retries or (early and streamed) else "none"


def with_repair(events: Iterable[Event], lane: Lane, repair: str) -> list[Event]:
    """The events of an answer, with `repair` instead of the text of `lane`."""
    out: list[Event] = []
    for event in events:
        if isinstance(event, Text) and event.channel == lane.channel and not event.judged:
            out.append(structs.replace(event, text=repair, altered=True))
            repair = ""
        else:
            out.append(event)
    return out
